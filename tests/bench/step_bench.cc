// The bare training step on a fixed batch: forward, criterion, backward, optimiser, EMA; no data
// loading.
//   step_bench [--scale n] [--batch 16] [--imgsz 640] [--classes 80] [--amp off|bf16] [--threads 2]
//   [--steps 8]
//              [--ops 0] [--clock wall|cpu]
// Prints images/s and each stage's median milliseconds; with --ops N also the N operators that took
// the most time of their own. --clock cpu with --threads 1 measures processor time, which a busy
// machine hardly changes.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "ATen/Parallel.h"
#include "ATen/record_function.h"
#include "server/engine/loss/detection_loss.h"
#include "server/engine/model/detection_model.h"
#include "server/engine/train/ema.h"
#include "server/engine/train/grad_scaler.h"
#include "server/engine/train/optimizer.h"
#include "server/engine/train/precision.h"
#include "server/engine/train/tensor_heap.h"
#include "torch/utils.h"

namespace yoke::engine {
namespace {

bool g_cpu_clock = false;

double Milliseconds() {
  timespec now;
  clock_gettime(g_cpu_clock ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

constexpr int kBoxesPerImage = 8;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Time that operators spend themselves, without those they call.
class OperatorTimes {
 public:
  OperatorTimes() {
    at::addGlobalCallback(
        at::RecordFunctionCallback(&Enter, &Leave).scopes({at::RecordScope::FUNCTION}));
  }
  void Print(size_t count, int steps) const {
    std::vector<std::pair<double, std::string>> sorted;
    for (const auto& [name, ms] : own_ms_) sorted.emplace_back(ms, name);
    std::sort(sorted.rbegin(), sorted.rend());
    for (size_t i = 0; i < std::min(count, sorted.size()); ++i) {
      std::printf("%9.1f ms a step, %5.1f calls  %s\n", sorted[i].first / steps,
                  static_cast<double>(calls_.at(sorted[i].second)) / steps,
                  sorted[i].second.c_str());
    }
  }

 private:
  struct Open : at::ObserverContext {
    double begin = Milliseconds();
    double inner_ms = 0;
    Open* outer = nullptr;
  };
  static std::unique_ptr<at::ObserverContext> Enter(const at::RecordFunction&) {
    auto open = std::make_unique<Open>();
    open->outer = current_;
    current_ = open.get();
    return open;
  }
  static void Leave(const at::RecordFunction& function, at::ObserverContext* context) {
    auto* open = static_cast<Open*>(context);
    const double whole = Milliseconds() - open->begin;
    own_ms_[function.name()] += whole - open->inner_ms;
    ++calls_[function.name()];
    current_ = open->outer;
    if (current_ != nullptr) current_->inner_ms += whole;
  }
  inline static thread_local Open* current_ = nullptr;
  inline static std::map<std::string, double> own_ms_;
  inline static std::map<std::string, int64_t> calls_;
};

class Stages {
 public:
  void Begin() { last_ = Milliseconds(); }
  void End(const char* stage) {
    const double now = Milliseconds();
    milliseconds_[stage].push_back(now - last_);
    last_ = now;
  }
  void Print(int64_t batch) const {
    double total = 0;
    for (const auto& [stage, times] : milliseconds_) total += Median(times);
    std::printf("%.2f images/s, step %.0f ms:", 1e3 * static_cast<double>(batch) / total, total);
    for (const auto& [stage, times] : milliseconds_)
      std::printf(" %s %.1f", stage.c_str(), Median(times));
    std::printf("\n");
  }

 private:
  double last_ = 0;
  std::map<std::string, std::vector<double>> milliseconds_;
};

Targets MakeTargets(int64_t batch, int classes) {
  const int64_t count = batch * kBoxesPerImage;
  const at::Tensor size = at::rand({count, 2}) * 0.3 + 0.05;
  return PadTargets(at::arange(batch, at::kLong).repeat_interleave(kBoxesPerImage),
                    at::randint(classes, {count}, at::kLong),
                    at::cat({size / 2 + at::rand({count, 2}) * (1 - size), size}, 1), batch);
}

int Run(const std::map<std::string, std::string>& flags) {
  const auto number = [&](const char* flag) { return std::atoi(flags.at(flag).c_str()); };
  at::set_num_threads(number("threads"));
  g_cpu_clock = flags.at("clock") == "cpu";
  KeepTensorMemory();
  torch::manual_seed(1);
  const int64_t batch = number("batch"), size = number("imgsz");
  const int classes = number("classes");
  const auto amp = PrecisionOf(flags.at("amp"), at::kCPU);
  auto made = DetectionModel::Create({flags.at("scale")[0], classes});
  if (!amp.ok() || !made.ok()) {
    std::fprintf(stderr, "step_bench: %s\n",
                 std::string((amp.ok() ? made.status() : amp.status()).message()).c_str());
    return 2;
  }
  DetectionModel& model = **made;
  model.FreezeLayers({}, false);
  model.train();
  const DetectionLoss loss({.class_count = classes});
  const std::unique_ptr<FlatModel> flattened = Flatten(model, "SGD");
  FlatModel& flat = *flattened;
  const auto optimizer = *Optimizer::Create({"SGD"}, flat);
  const auto ema = *Ema::Create(model, flat);
  const GradScaler scaler(false, at::kCPU);
  const at::Tensor images =
      at::rand({batch, 3, size, size}).contiguous(at::MemoryFormat::ChannelsLast);
  const Targets targets = MakeTargets(batch, classes);
  Stages stages;
  std::unique_ptr<OperatorTimes> operators;
  for (int step = -2; step < number("steps"); ++step) {
    if (step == 0) {
      stages = Stages();
      if (number("ops") > 0) operators = std::make_unique<OperatorTimes>();
    }
    stages.Begin();
    HeadMaps maps;
    {
      const Autocast autocast(at::kCPU, *amp);
      maps = model.Forward(images);
    }
    stages.End("1-forward");
    const LossOutput output = loss.Compute(maps, targets);
    stages.End("2-loss");
    output.total.backward();
    stages.End("3-backward");
    optimizer->Step({.target = 1e-5, .momentum = 0.9}, scaler.Examine(flat.gradients(), 10));
    flat.ZeroGradients();
    ema->Update();
    stages.End("4-step");
  }
  stages.Print(batch);
  if (operators != nullptr) operators->Print(static_cast<size_t>(number("ops")), number("steps"));
  return 0;
}

}  // namespace
}  // namespace yoke::engine

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags = {
      {"scale", "n"},   {"batch", "16"}, {"imgsz", "640"}, {"classes", "80"}, {"amp", "off"},
      {"threads", "2"}, {"steps", "8"},  {"ops", "0"},     {"clock", "wall"}};
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag.size() < 3 || flags.count(flag.substr(2)) == 0) {
      std::fprintf(stderr,
                   "step_bench: unknown flag %s; it takes --scale --batch --imgsz --classes --amp "
                   "--threads --steps --ops --clock\n",
                   argv[i]);
      return 2;
    }
    flags[flag.substr(2)] = argv[i + 1];
  }
  return yoke::engine::Run(flags);
}
