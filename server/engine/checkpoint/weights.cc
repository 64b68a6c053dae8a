#include "server/engine/checkpoint/weights.h"

#include <cmath>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/detector_file.h"
#include "server/engine/checkpoint/model_tree.h"
#include "server/engine/checkpoint/torch_archive.h"

namespace yoke::engine {
namespace {

absl::StatusOr<Weights> ReadChecked(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(const auto archive, TorchArchive::Open(path));
  const auto detector = formats::ReadDetector(archive->file());
  if (!detector.ok())
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", detector.status().message()));
  Weights weights;
  weights.spec = {detector->shape.scale, detector->shape.class_count, detector->shape.class_width};
  weights.names = detector->names;
  weights.metadata = detector->metadata;
  for (const auto& [name, stored] : detector->state) {
    const at::Tensor tensor = CopyOf(stored);
    if (tensor.is_floating_point() && !at::isfinite(tensor).all().item<bool>()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", name,
                       " holds numbers that are not finite, so nothing can be computed with it; "
                       "take weights of an earlier epoch"));
    }
    weights.state[name] = tensor.is_floating_point() ? tensor.to(at::kFloat) : tensor;
  }
  return weights;
}

// The last layer of a class branch, which has a row for each class.
bool HasClassRows(const std::string& name) {
  return absl::StartsWith(name, "model.22.cv3.") &&
         (absl::EndsWith(name, ".2.weight") || absl::EndsWith(name, ".2.bias"));
}

TorchValue ValueOf(const ArgValue& value) {
  struct Convert {
    TorchValue operator()(std::monostate) const { return {}; }
    TorchValue operator()(bool value) const { return value; }
    TorchValue operator()(int64_t value) const { return value; }
    TorchValue operator()(double value) const { return value; }
    TorchValue operator()(const std::string& value) const { return value; }
    TorchValue operator()(const std::vector<int>& values) const {
      return TorchValue::List(std::vector<TorchValue>(values.begin(), values.end()));
    }
  };
  return std::visit(Convert(), value);
}

// An epoch or a metric of 0 is an integer, as it is to who reads the table.
TorchValue NumberOf(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

TorchValue ArgsOf(const TrainingRecord& training) {
  TorchValue::Entries args;
  for (const auto& [key, value] : CompleteArgs(training.args))
    args.emplace_back(key, ValueOf(value));
  return TorchValue::Dict(std::move(args));
}

TorchValue MetricsOf(const TrainingRecord& training) {
  TorchValue::Entries metrics;
  for (const auto& [name, value] : training.metrics) metrics.emplace_back(name, value);
  return TorchValue::Dict(std::move(metrics));
}

TorchValue ResultsOf(const TrainingRecord& training) {
  TorchValue::Entries columns;
  for (const auto& [name, values] : training.results) {
    std::vector<TorchValue> numbers;
    for (const double value : values) numbers.push_back(NumberOf(value));
    columns.emplace_back(name, TorchValue::List(std::move(numbers)));
  }
  return TorchValue::Dict(std::move(columns));
}

}  // namespace

absl::StatusOr<Weights> ReadWeights(const std::string& path) {
  try {
    return ReadChecked(path);
  } catch (
      const std::exception& error) {  // sizes that LibTorch itself refuses, or no memory for them
    const std::string what = error.what();
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", what.substr(0, what.find('\n'))));
  }
}

ModelSpec SpecFor(const Weights& from, int class_count, bool by_name) {
  return {from.spec.scale, class_count, by_name ? from.spec.class_width : 0};
}

TransferReport Transfer(const Weights& from, DetectionModel& to, const ClassTransfer& classes) {
  at::NoGradGuard no_grad;
  TransferReport report;
  const auto copy = [&](const std::string& name, at::Tensor& target) {
    ++report.total;
    const auto found = from.state.find(name);
    const bool by_rows = classes.by_name() && HasClassRows(name);
    const int64_t fixed = by_rows ? 1 : 0;  // dimensions of the shape that may differ
    if (found == from.state.end() || found->second.dim() != target.dim() ||
        found->second.sizes().slice(fixed) != target.sizes().slice(fixed)) {
      report.skipped.push_back(name);
      return;
    }
    if (by_rows) {
      for (int64_t row = 0; row < target.size(0); ++row) {
        const int source = classes.source[row];
        if (source >= 0) target[row].copy_(found->second[source]);
      }
    } else {
      target.copy_(found->second);
    }
    ++report.copied;
  };
  for (auto& item : to.named_parameters()) copy(item.key(), item.value());
  for (auto& item : to.named_buffers()) copy(item.key(), item.value());
  return report;
}

absl::StatusOr<std::shared_ptr<DetectionModel>> ModelOf(const Weights& from,
                                                        const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(std::shared_ptr<DetectionModel> model, DetectionModel::Create(from.spec));
  const TransferReport transfer = Transfer(from, *model);
  if (transfer.copied == transfer.total) return model;
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": ", transfer.skipped.size(), " of ", transfer.total,
      " tensors are missing or of another shape, the first is ", transfer.skipped.front()));
}

absl::Status WriteWeights(const std::string& path, const Weights& weights,
                          const TrainingRecord& training) {
  TorchValue::Entries entries;
  const auto none = [&](const char* key) { entries.emplace_back(key, TorchValue()); };
  std::set<std::string> placed;
  const auto text = [&](const char* key, const char* otherwise) {
    const auto given = weights.metadata.find(key);
    entries.emplace_back(key, given == weights.metadata.end() ? otherwise : given->second);
    placed.insert(key);
  };
  text("date", "");
  text("version", "yoke " YOKE_VERSION);
  text("license", "that of the weights and images which the training began with");
  text("docs", "the README of Yoke");
  // A finished training: nothing to resume from, the weights are the averaged ones already.
  entries.emplace_back("epoch", -1);
  none("best_fitness");
  none("stopper");
  entries.emplace_back("model", ModelTree(weights));
  for (const char* key : {"ema", "updates", "modelopt", "optimizer", "scaler"}) none(key);
  entries.emplace_back("train_args", ArgsOf(training));
  entries.emplace_back("train_metrics", MetricsOf(training));
  entries.emplace_back("train_results", ResultsOf(training));
  none("git");
  for (const auto& [name, value] : weights.metadata) {
    if (placed.contains(name)) continue;
    int64_t integer = 0;
    const bool is_integer = absl::SimpleAtoi(value, &integer);
    entries.emplace_back(name, is_integer ? TorchValue(integer) : TorchValue(value));
  }
  return WriteTorchFile(path, TorchValue::Dict(std::move(entries)));
}

}  // namespace yoke::engine
