#include "server/engine/model/bn_silu.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "ATen/Parallel.h"
#include "server/engine/kernels/bn_silu.h"
#include "torch/csrc/autograd/custom_function.h"

namespace yoke::engine {
namespace {

using kernels::Rows;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Pixels below which a second thread costs more than it helps.
constexpr int64_t kPixelsPerThreadMin = 512;

int64_t PixelsOf(const at::Tensor& map) { return map.size(0) * map.size(2) * map.size(3); }

// T as the kernels name it, for a tensor of floats or bfloat16.
template <typename Work>
auto WithType(const at::Tensor& tensor, const Work& work) {
  if (tensor.scalar_type() == at::kBFloat16) return work(kernels::BFloat16());
  return work(float());
}

// Values from a pixel to the next; strides of sides of length 1 mean nothing.
int64_t RowStride(const at::Tensor& map) {
  if (map.size(3) > 1) return map.stride(3);
  if (map.size(2) > 1) return map.stride(2);
  return map.size(0) > 1 ? map.stride(0) : map.size(1);
}

// Whether the pixels of a (B,C,H,W) map are rows of values at equal distances: channels last, or
// some channels of a wider map.
bool IsRows(const at::Tensor& map) {
  const int64_t row = RowStride(map), h = map.size(2), w = map.size(3);
  return row >= map.size(1) && (map.size(1) == 1 || map.stride(1) == 1) &&
         (w == 1 || map.stride(3) == row) && (h == 1 || map.stride(2) == w * row) &&
         (map.size(0) == 1 || map.stride(0) == h * w * row);
}

at::Tensor AsRows(const at::Tensor& map, at::ScalarType type) {
  const at::Tensor plain = map.to(type);
  return IsRows(plain) ? plain : plain.contiguous(at::MemoryFormat::ChannelsLast);
}

// REQUIRES: AsRows.
template <typename T>
Rows<T> RowsOf(const at::Tensor& map, int64_t first, int64_t pixels) {
  using Plain = std::remove_const_t<T>;
  const int64_t row = RowStride(map);
  return {static_cast<Plain*>(map.data_ptr()) + first * row, pixels, map.size(1), row};
}

// Calls work(part, first pixel, pixels) on as many threads as LibTorch has; which part has which
// pixels depends on that number alone.
template <typename Work>
void ForParts(int64_t pixels, int64_t parts, const Work& work) {
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = pixels * part / parts;
      work(part, first, pixels * (part + 1) / parts - first);
    }
  });
}
int64_t PartsOf(int64_t pixels) {
  return std::clamp<int64_t>(pixels / kPixelsPerThreadMin, 1, at::get_num_threads());
}

// Two sums for each channel, (2C) float64: work(first pixel, pixels, first sums, second sums).
template <typename Work>
at::Tensor SumParts(int64_t pixels, int64_t channels, const Work& work) {
  const int64_t parts = PartsOf(pixels);
  at::Tensor sums = at::zeros({parts, 2 * channels}, at::kDouble);
  auto* data = sums.data_ptr<double>();
  ForParts(pixels, parts, [&](int64_t part, int64_t first, int64_t count) {
    double* mine = data + part * 2 * channels;
    work(first, count, mine, mine + channels);
  });
  return sums.sum(0);
}

// Of one layer's input. (C) float64.
struct Statistics {
  at::Tensor mean, variance, inverse_std;
  double count = 0;  // pixels, of all ranks
};

// Makes statistics of this rank's pixels those of all ranks' and derives the rest of them.
void Share(const BatchNormState& state, Statistics& s) {
  if (state.exchange != nullptr) {
    const int64_t channels = s.mean.size(0);
    at::Tensor all = at::cat({s.mean * s.count, (s.variance + s.mean * s.mean) * s.count,
                              at::full({1}, s.count, s.mean.options())});
    state.exchange->Sum(all);
    s.count = all[2 * channels].item<double>();
    s.mean = all.narrow(0, 0, channels) / s.count;
    s.variance = all.narrow(0, channels, channels) / s.count - s.mean * s.mean;
  }
  s.variance.clamp_min_(0);
  s.inverse_std = (s.variance + state.eps).rsqrt();
}

// Moves the running statistics.
void Follow(const BatchNormState& state, const Statistics& s) {
  const double unbiased = s.count / std::max(s.count - 1, 1.0);
  at::Tensor mean = state.running_mean, var = state.running_var;
  mean.lerp_(s.mean.to(at::kFloat), state.momentum);
  var.lerp_((s.variance * unbiased).to(at::kFloat), state.momentum);
}

void Save(AutogradContext* context, const at::Tensor& x, const Variable& weight,
          const Variable& bias, const Statistics& s, const BatchNormState& state) {
  context->save_for_backward({x, weight, bias, s.mean, s.inverse_std});
  context->saved_data["count"] = s.count;
  context->saved_data["exchange"] = reinterpret_cast<int64_t>(state.exchange);
}

// a and b of z = a x + b, (C) float32.
struct Affine {
  at::Tensor a, b;
};
Affine AffineOf(const at::Tensor& mean, const at::Tensor& inverse_std, const at::Tensor& weight,
                const at::Tensor& bias) {
  const at::Tensor a = weight.detach().to(at::kDouble) * inverse_std;
  return {a.to(at::kFloat), (bias.detach().to(at::kDouble) - mean * a).to(at::kFloat)};
}

// What follows from d = dL/dz. dL/dx = a d + k1 x + k0, which is
// a (d - mean(d) - (x - mean) r^2 mean(d (x - mean))).
struct Gradients {
  at::Tensor weight, bias;  // (C) float32, of this rank: they are added up with all others
  at::Tensor k0, k1;        // (C) float32
};
// `sums`: [C of d, C of d (x - mean)] of this rank.
Gradients GradientsOf(AutogradContext* context, const at::Tensor& weight, const at::Tensor& mean,
                      const at::Tensor& inverse_std, at::Tensor sums) {
  const int64_t channels = mean.size(0);
  Gradients gradients;
  gradients.bias = sums.narrow(0, 0, channels).to(at::kFloat);
  gradients.weight = (sums.narrow(0, channels, channels) * inverse_std).to(at::kFloat);
  auto* exchange = reinterpret_cast<StatisticsExchange*>(context->saved_data["exchange"].toInt());
  if (exchange != nullptr) exchange->Sum(sums);
  const double count = context->saved_data["count"].toDouble();
  const at::Tensor a = weight.detach().to(at::kDouble) * inverse_std;
  const at::Tensor slope =
      -a * inverse_std * inverse_std * sums.narrow(0, channels, channels) / count;
  gradients.k1 = slope.to(at::kFloat);
  gradients.k0 = (-a * sums.narrow(0, 0, channels) / count - mean * slope).to(at::kFloat);
  return gradients;
}

struct CpuFunction : torch::autograd::Function<CpuFunction> {
  static Statistics Measure(const at::Tensor& x, const BatchNormState& state) {
    const int64_t pixels = PixelsOf(x), channels = x.size(1);
    // Any value of a channel lies near its mean.
    const at::Tensor shift = x[0].select(1, 0).select(1, 0).to(at::kFloat).contiguous();
    const at::Tensor sums = SumParts(
        pixels, channels, [&](int64_t first, int64_t count, double* sum, double* sum_of_squares) {
          WithType(x, [&](auto zero) {
            using T = decltype(zero);
            kernels::BnSums<T>(RowsOf<const T>(x, first, count), shift.data_ptr<float>(), sum,
                               sum_of_squares);
          });
        });
    Statistics s;
    s.count = static_cast<double>(pixels);
    const at::Tensor off = sums.narrow(0, 0, channels) / s.count;
    s.mean = off + shift;
    s.variance = sums.narrow(0, channels, channels) / s.count - off * off;
    Share(state, s);
    return s;
  }

  static Variable forward(AutogradContext* context, const Variable& x_given, const Variable& weight,
                          const Variable& bias, BatchNormState state) {
    const bool reduced = x_given.scalar_type() == at::kBFloat16;
    const at::Tensor x = AsRows(x_given, reduced ? at::kBFloat16 : at::kFloat);
    const Statistics s = Measure(x, state);
    Follow(state, s);
    const Affine z = AffineOf(s.mean, s.inverse_std, weight, bias);
    at::Tensor y = at::empty_like(x, {}, at::MemoryFormat::ChannelsLast);
    const int64_t pixels = PixelsOf(x);
    ForParts(pixels, PartsOf(pixels), [&](int64_t, int64_t first, int64_t count) {
      WithType(x, [&](auto zero) {
        using T = decltype(zero);
        kernels::BnSiluForward<T>(RowsOf<const T>(x, first, count), z.a.data_ptr<float>(),
                                  z.b.data_ptr<float>(), RowsOf<T>(y, first, count));
      });
    });
    Save(context, x, weight, bias, s, state);
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3],
                     &inverse_std = saved[4];
    const at::Tensor grad_y = AsRows(outputs[0], x.scalar_type());
    const int64_t pixels = PixelsOf(x), channels = x.size(1);
    const Affine z = AffineOf(mean, inverse_std, weight, bias);
    const at::Tensor mean_float = mean.to(at::kFloat);
    const at::Tensor sums = SumParts(
        pixels, channels, [&](int64_t first, int64_t count, double* sum_d, double* sum_dx) {
          WithType(x, [&](auto zero) {
            using T = decltype(zero);
            kernels::BnSiluBackwardSums<T>(RowsOf<const T>(grad_y, first, count),
                                           RowsOf<const T>(x, first, count), z.a.data_ptr<float>(),
                                           z.b.data_ptr<float>(), mean_float.data_ptr<float>(),
                                           sum_d, sum_dx);
          });
        });
    const Gradients gradients = GradientsOf(context, weight, mean, inverse_std, sums);
    at::Tensor grad_x = at::empty_like(x, {}, at::MemoryFormat::ChannelsLast);
    ForParts(pixels, PartsOf(pixels), [&](int64_t, int64_t first, int64_t count) {
      WithType(x, [&](auto zero) {
        using T = decltype(zero);
        kernels::BnSiluBackward<T>(RowsOf<const T>(grad_y, first, count),
                                   RowsOf<const T>(x, first, count), z.a.data_ptr<float>(),
                                   z.b.data_ptr<float>(), gradients.k0.data_ptr<float>(),
                                   gradients.k1.data_ptr<float>(), RowsOf<T>(grad_x, first, count));
      });
    });
    return {grad_x, gradients.weight, gradients.bias, Variable()};
  }
};

at::Tensor PerChannel(const at::Tensor& values) {
  return values.to(at::kFloat).reshape({1, -1, 1, 1});
}

struct TensorFunction : torch::autograd::Function<TensorFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight,
                          const Variable& bias, BatchNormState state) {
    const at::Tensor map = x.to(at::kFloat);
    Statistics s;
    s.count = static_cast<double>(PixelsOf(x));
    s.mean = map.mean({0, 2, 3}).to(at::kDouble);
    s.variance = (map - PerChannel(s.mean)).square_().mean({0, 2, 3}).to(at::kDouble);
    Share(state, s);
    Follow(state, s);
    const Affine z = AffineOf(s.mean, s.inverse_std, weight, bias);
    Save(context, x, weight, bias, s, state);
    return at::silu(map * PerChannel(z.a) + PerChannel(z.b)).to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3],
                     &inverse_std = saved[4];
    const Affine z = AffineOf(mean, inverse_std, weight, bias);
    const at::Tensor map = x.to(at::kFloat);
    const at::Tensor d =
        at::silu_backward(outputs[0].to(at::kFloat), map * PerChannel(z.a) + PerChannel(z.b));
    const at::Tensor sums =
        at::cat({d.sum({0, 2, 3}), (d * (map - PerChannel(mean))).sum({0, 2, 3})}).to(at::kDouble);
    const Gradients gradients = GradientsOf(context, weight, mean, inverse_std, sums);
    const at::Tensor grad_x =
        d * PerChannel(z.a) + map * PerChannel(gradients.k1) + PerChannel(gradients.k0);
    return {grad_x.to(x.scalar_type()), gradients.weight, gradients.bias, Variable()};
  }
};

// LibTorch's own BatchNorm for the device, computed again in the backward pass.
struct DeviceFunction : torch::autograd::Function<DeviceFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight,
                          const Variable& bias, BatchNormState state) {
    auto [y, mean, inverse_std] = at::native_batch_norm(
        x, weight, bias, state.running_mean, state.running_var, true, state.momentum, state.eps);
    context->save_for_backward({x, weight, bias, mean, inverse_std});
    context->saved_data["eps"] = state.eps;
    return at::silu_(y);
  }

  static variable_list backward(AutogradContext* context, variable_list outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3],
                     &inverse_std = saved[4];
    const double eps = context->saved_data["eps"].toDouble();
    // The batch's own statistics, given as if they were running ones, reproduce the normalised map.
    at::Tensor mean_copy = mean, variance = inverse_std.pow(-2).sub_(eps);
    const at::Tensor y =
        std::get<0>(at::native_batch_norm(x, weight, bias, mean_copy, variance, false, 0.0, eps));
    const at::Tensor grad_y = at::silu_backward(outputs[0], y);
    auto [grad_x, grad_weight, grad_bias] = at::native_batch_norm_backward(
        grad_y, x, weight, {}, {}, mean, inverse_std, true, eps, {true, true, true});
    return {grad_x, grad_weight, grad_bias, Variable()};
  }
};

}  // namespace

at::Tensor BatchNormSiluInTensors(const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& bias, const BatchNormState& state) {
  return TensorFunction::apply(x, weight, bias, state);
}

at::Tensor BatchNormSilu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         const BatchNormState& state) {
  if (x.is_cpu()) return CpuFunction::apply(x, weight, bias, state);
  if (state.exchange != nullptr) return TensorFunction::apply(x, weight, bias, state);
  return DeviceFunction::apply(x, weight, bias, state);
}

}  // namespace yoke::engine
