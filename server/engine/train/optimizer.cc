#include "server/engine/train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/engine/train/optimizer_rules.h"

namespace yoke::engine {
namespace {

constexpr double kLongTrainingSteps = 10000;
constexpr double kClassBranchScale = 3;  // under MuSGD

// The class branch of the head, as the reference names it.
bool IsClassBranch(const std::string& name) { return absl::StrContains(name, ".cv3."); }

}  // namespace

OptimizerConfig ResolveOptimizer(const OptimizerConfig& given, const std::string& auto_long,
                                 int class_count, int64_t images, int64_t batch, int nbs,
                                 int epochs, const std::vector<std::string>& user_set) {
  if (given.kind != "auto") return given;
  const auto free = [&](const char* key) {
    return std::find(user_set.begin(), user_set.end(), key) == user_set.end();
  };
  const auto step_images = static_cast<double>(std::max<int64_t>(batch, nbs));
  const double steps = std::ceil(static_cast<double>(images) / step_images) * epochs;
  OptimizerConfig config = given;
  const bool is_long = steps > kLongTrainingSteps;
  config.kind = is_long ? auto_long : "AdamW";
  if (free("lr0")) {
    config.lr0 = is_long ? 0.01 : std::round(0.002 * 5 / (4 + class_count) * 1e6) / 1e6;
  }
  if (free("momentum") && !is_long) config.momentum = 0.9;
  if (free("warmup_bias_lr")) config.warmup_bias_lr = 0;
  return config;
}

std::vector<ParameterGroup> GroupsOf(const std::string& kind) {
  std::vector<ParameterGroup> groups = {
      {.name = "weight", .decays = true}, {.name = "bn"}, {.name = "bias", .is_bias = true}};
  if (kind != "MuSGD") return groups;
  groups.push_back({.name = "muon", .decays = true, .is_muon = true});
  std::vector<ParameterGroup> split;
  for (const ParameterGroup& group : groups) {
    ParameterGroup classes = group;
    classes.name += "*";
    classes.lr_scale = kClassBranchScale;
    split.push_back(classes);
    split.push_back(group);
  }
  return split;
}

int GroupOf(const std::vector<ParameterGroup>& groups, const std::string& name,
            const at::Tensor& parameter) {
  const bool muon =
      std::any_of(groups.begin(), groups.end(), [](const auto& g) { return g.is_muon; });
  // Normalisation layers are the parts called "bn"; their weights have one dimension.
  std::string wanted = muon && parameter.dim() == 4      ? "muon"
                       : absl::StrContains(name, "bias") ? "bias"
                       : parameter.dim() == 1            ? "bn"
                                                         : "weight";
  if (muon && IsClassBranch(name)) wanted += "*";
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].name == wanted) return static_cast<int>(i);
  }
  return 0;
}

std::unique_ptr<FlatModel> Flatten(DetectionModel& model, const std::string& kind) {
  const std::vector<ParameterGroup> groups = GroupsOf(kind);
  return std::make_unique<FlatModel>(model, static_cast<int>(groups.size()),
                                     [&](const std::string& name, const at::Tensor& parameter) {
                                       return GroupOf(groups, name, parameter);
                                     });
}

absl::StatusOr<std::unique_ptr<Optimizer>> Optimizer::Create(const OptimizerConfig& config,
                                                             FlatModel& flat) {
  std::unique_ptr<Optimizer> made = MakeOptimizerRule(config, flat);
  if (made != nullptr) return made;
  return absl::InvalidArgumentError(absl::StrCat(
      "optimizer=", config.kind,
      " is unknown; use auto, SGD, MuSGD, Adam, AdamW, Adamax, NAdam, RAdam or RMSProp"));
}

void Optimizer::AddGroups(const std::vector<std::string>& buffers,
                          const std::vector<std::string>& scalars) {
  const std::vector<ParameterGroup> rules = GroupsOf(config_.kind);
  for (size_t i = 0; i < rules.size(); ++i) {
    Group group{rules[i],
                static_cast<int>(i),
                flat_.group_values(static_cast<int>(i)),
                flat_.group_gradients(static_cast<int>(i)),
                {}};
    for (const std::string& name : buffers) group.buffers[name] = at::zeros_like(group.values);
    for (const std::string& name : scalars) {
      group.buffers[name] = at::zeros({}, group.values.options());
    }
    groups_.push_back(std::move(group));
  }
}

void Optimizer::Step(const IterationRates& rates, const StepScale& scale) {
  const at::NoGradGuard no_gradients;
  const bool on_cpu = flat_.values().is_cpu();
  if (on_cpu && scale.found_inf.item<float>() != 0) return;
  const std::vector<double> lr = RatesOf(rates);
  for (Group& group : groups_) {
    if (group.values.numel() == 0) continue;
    std::vector<at::Tensor> before;
    if (!on_cpu && !GuardsItself()) {
      before.push_back(group.values.clone());
      for (const auto& [name, buffer] : group.buffers) before.push_back(buffer.clone());
    }
    Update(group, lr[static_cast<size_t>(group.index)], rates.momentum,
           group.rule.decays ? config_.weight_decay : 0, scale);
    if (before.empty()) continue;
    const at::Tensor bad = scale.found_inf != 0;
    size_t i = 0;
    group.values.copy_(at::where(bad, before[i++], group.values));
    for (auto& [name, buffer] : group.buffers) buffer.copy_(at::where(bad, before[i++], buffer));
  }
}

std::vector<double> Optimizer::RatesOf(const IterationRates& rates) const {
  std::vector<double> lr;
  for (const Group& group : groups_) {
    lr.push_back(group.rule.is_bias ? rates.BiasLr(group.rule.lr_scale)
                                    : rates.Lr(group.rule.lr_scale));
  }
  return lr;
}

// By parameter, so that a state fits whatever else is trained and however it lies in memory.
std::map<std::string, at::Tensor> Optimizer::State() const {
  std::map<std::string, at::Tensor> state;
  ForEachBuffer([&](const std::string& name, const at::Tensor& buffer) {
    state[name] = buffer.to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  });
  return state;
}

bool Optimizer::LoadState(const std::map<std::string, at::Tensor>& state) {
  bool complete = true;
  ForEachBuffer([&](const std::string& name, at::Tensor buffer) {
    const auto found = state.find(name);
    if (found != state.end() && found->second.sizes() == buffer.sizes()) {
      buffer.copy_(found->second);
    } else {
      complete = false;
    }
  });
  return complete;
}

void Optimizer::ForEachBuffer(
    const std::function<void(const std::string&, const at::Tensor&)>& visit) const {
  for (const Group& group : groups_) {
    const std::vector<FlatEntry> members = flat_.members(group.index);
    for (const auto& [name, buffer] : group.buffers) {
      if (buffer.dim() == 0) {
        visit(absl::StrCat(name, ".", group.rule.name), buffer);
        continue;
      }
      for (const FlatEntry& entry : members) {
        const int64_t first = entry.offset - members.front().offset;
        visit(absl::StrCat(name, ".", entry.name),
              buffer.narrow(0, first, entry.tensor.numel()).view(entry.tensor.sizes()));
      }
    }
  }
}

void Optimizer::Reset() {
  for (Group& group : groups_) {
    for (auto& [name, buffer] : group.buffers) buffer.zero_();
  }
}

}  // namespace yoke::engine
