#include "server/engine/model/bn_silu.h"

#include "torch/csrc/autograd/custom_function.h"

namespace yoke::engine {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

struct BatchNormSiluFunction : torch::autograd::Function<BatchNormSiluFunction> {
  static Variable forward(AutogradContext* context, const Variable& x, const Variable& weight,
                          const Variable& bias, Variable running_mean, Variable running_var,
                          double momentum, double eps) {
    auto [y, mean, inverse_std] =
        at::native_batch_norm(x, weight, bias, running_mean, running_var, true, momentum, eps);
    context->save_for_backward({x, weight, bias, mean, inverse_std});
    context->saved_data["eps"] = eps;
    return at::silu_(y);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3],
                     &inverse_std = saved[4];
    const double eps = context->saved_data["eps"].toDouble();
    // The batch's own statistics, given as if they were running ones, reproduce the normalised map.
    at::Tensor mean_copy = mean, variance = inverse_std.pow(-2).sub_(eps);
    const at::Tensor y =
        std::get<0>(at::native_batch_norm(x, weight, bias, mean_copy, variance, false, 0.0, eps));
    const at::Tensor grad_y = at::silu_backward(gradients[0], y);
    auto [grad_x, grad_weight, grad_bias] = at::native_batch_norm_backward(
        grad_y, x, weight, {}, {}, mean, inverse_std, true, eps, {true, true, true});
    return {grad_x, grad_weight, grad_bias, Variable(), Variable(), Variable(), Variable()};
  }
};

}  // namespace

at::Tensor BatchNormSilu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         at::Tensor& running_mean, at::Tensor& running_var, double momentum,
                         double eps) {
  return BatchNormSiluFunction::apply(x, weight, bias, running_mean, running_var, momentum, eps);
}

}  // namespace yoke::engine
