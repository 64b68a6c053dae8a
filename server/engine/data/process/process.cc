// RunProcess: read the raw folder, judge every file, deal out splits, write beside `out`, rename.
#include "server/engine/data/process.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <set>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/formats/label_file.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/fingerprint.h"
#include "server/engine/data/image_check.h"
#include "server/engine/data/process/output.h"
#include "server/engine/data/process/raw_folder.h"
#include "server/engine/data/process/stratify.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr int kCheckersMax = 8;
constexpr int kUnnamedClassesMax = 10'000;

// True if `inner` is `outer` or lies in it; both weakly canonical.
bool IsWithin(const fs::path& inner, const fs::path& outer) {
  const fs::path relative = inner.lexically_relative(outer);
  return !relative.empty() && *relative.begin() != "..";
}

absl::Status CheckConfig(const ProcessConfig& config) {
  const double sum = config.train + config.val + config.test;
  if (config.train <= 0 || config.val < 0 || config.test < 0 || std::abs(sum - 1) > 1e-6) {
    return absl::InvalidArgumentError(absl::StrCat("the ratios train=", config.train, " val=", config.val, " test=",
                                                   config.test, " must not be negative, train above 0, their sum 1"));
  }
  std::error_code error;
  if (!fs::is_directory(config.source, error)) {
    return absl::NotFoundError(absl::StrCat(config.source, ": no such folder; check source="));
  }
  const fs::path source = fs::weakly_canonical(config.source), out = fs::weakly_canonical(config.out);
  if (IsWithin(out, source) || IsWithin(source, out)) {
    return absl::InvalidArgumentError(absl::StrCat("out=", config.out, " and source=", config.source,
                                                   " lie within each other; choose an out beside the source"));
  }
  if (fs::exists(out, error) && (!fs::is_directory(out, error) || !fs::is_empty(out, error))) {
    return absl::AlreadyExistsError(absl::StrCat(config.out, " exists and is not empty; choose a new folder or remove it"));
  }
  return absl::OkStatus();
}

struct Judged {
  std::string content;            // fingerprint of the image's bytes
  std::string problem;            // empty: usable
  bool bad_label = false;         // the problem is the label file's
  std::vector<int> class_ids;     // one for each box
};

Judged Judge(const RawImage& image, const formats::LabelRules& rules) {
  Judged out;
  const absl::StatusOr<std::vector<uint8_t>> bytes = ReadFileBytes(image.path);
  absl::Status status = bytes.status();
  if (status.ok()) status = CheckImageFile(image.path).status();
  if (!status.ok()) {
    out.problem = std::string(status.message());
    return out;
  }
  Fingerprint fingerprint;
  fingerprint.Add(std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()));
  out.content = fingerprint.Hex();
  if (image.label_path.empty()) return out;
  const absl::StatusOr<std::string> text = ReadTextFile(image.label_path, kTextBytesMax);
  const absl::StatusOr<formats::LabelFile> labels =
      text.ok() ? formats::ParseLabelFile(*text, image.label_path, rules) : text.status();
  if (!labels.ok()) {
    out.problem = std::string(labels.status().message());
    out.bad_label = true;
    return out;
  }
  for (const formats::LabelRow& row : labels->rows) out.class_ids.push_back(row.class_id);
  return out;
}

absl::StatusOr<std::vector<Judged>> JudgeAll(const std::vector<RawImage>& images, const formats::LabelRules& rules,
                                             Observer& observer, const StopSignal& stop) {
  const auto total = static_cast<int64_t>(images.size());
  std::vector<Judged> judged(images.size());
  std::atomic<int64_t> next{0}, done{0};
  std::atomic<bool> stopped{false};
  const auto work = [&](bool reports) {
    for (int64_t i = next++; i < total && !stopped; i = next++) {
      judged[static_cast<size_t>(i)] = Judge(images[static_cast<size_t>(i)], rules);
      const int64_t finished = ++done;
      if (!reports) continue;
      if (stop.requested()) stopped = true;
      observer.OnProgress(finished, total, "images checked");
    }
  };
  std::vector<std::thread> threads;
  const int64_t count = std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, kCheckersMax);
  for (int64_t i = 1; i < count && i < total; ++i) threads.emplace_back(work, false);
  work(true);
  for (std::thread& thread : threads) thread.join();
  if (stopped) return absl::CancelledError("stopped while checking images; nothing was written");
  return judged;
}

// Decides which images are used, and counts and names all others.
absl::StatusOr<ProcessPlan> Select(const RawFolder& raw, const std::vector<Judged>& judged, const ProcessConfig& config,
                                   Observer& observer) {
  ProcessPlan plan;
  plan.orphan_labels = raw.orphan_labels;
  // Of equal images the first with a label stays, else the first.
  std::map<std::string, size_t> kept;
  for (size_t i = 0; i < judged.size(); ++i) {
    if (judged[i].bad_label && config.on_bad_label != "skip") return absl::InvalidArgumentError(judged[i].problem);
    if (!judged[i].problem.empty()) {
      plan.corrupt.push_back(judged[i].problem);
      observer.OnWarning(judged[i].problem + "; image left out");
      continue;
    }
    const auto [at, fresh] = kept.try_emplace(judged[i].content, i);
    if (!fresh && raw.images[at->second].label_path.empty() && !raw.images[i].label_path.empty()) at->second = i;
  }
  for (size_t i = 0; i < judged.size(); ++i) {
    if (!judged[i].problem.empty()) continue;
    const RawImage& image = raw.images[i];
    if (const size_t first = kept[judged[i].content]; first != i) {
      plan.duplicates.emplace_back(image.relative, raw.images[first].relative);
      continue;
    }
    if (image.label_path.empty()) plan.unlabelled.push_back(image.relative);
    plan.images.push_back({.raw = image, .class_ids = judged[i].class_ids});
  }
  if (plan.images.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("none of the ", judged.size(), " images in ", config.source,
                                                   " can be used; the first: ", plan.corrupt.front()));
  }
  return plan;
}

absl::Status NameClasses(const std::vector<std::string>& names, ProcessPlan& plan) {
  plan.names = names;
  if (!names.empty()) return absl::OkStatus();
  int count = 1;
  for (const PlannedFile& file : plan.images) {
    for (int id : file.class_ids) count = std::max(count, id + 1);
  }
  if (count > kUnnamedClassesMax) {
    return absl::InvalidArgumentError(absl::StrCat("class id ", count - 1, " in labels without class names; give names="));
  }
  for (int i = 0; i < count; ++i) plan.names.push_back(absl::StrCat("class", i));
  return absl::OkStatus();
}

void AssignSplits(const ProcessConfig& config, ProcessPlan& plan) {
  std::vector<std::vector<int>> classes;
  for (const PlannedFile& file : plan.images) {
    const std::set<int> distinct(file.class_ids.begin(), file.class_ids.end());
    classes.emplace_back(distinct.begin(), distinct.end());
  }
  const std::vector<SplitName> splits = Stratify(classes, {config.train, config.val, config.test}, config.seed);
  for (size_t i = 0; i < splits.size(); ++i) plan.images[i].split = splits[i];
}

ProcessResult Summarise(const ProcessPlan& plan, const std::string& out) {
  ProcessResult result;
  result.images = static_cast<int64_t>(plan.images.size());
  for (const std::string& name : plan.names) result.boxes_per_class[name] = 0;
  for (const PlannedFile& file : plan.images) {
    result.boxes += static_cast<int64_t>(file.class_ids.size());
    for (int id : file.class_ids) ++result.boxes_per_class[plan.names[static_cast<size_t>(id)]];
    ++(file.split == SplitName::kTrain ? result.train : file.split == SplitName::kVal ? result.val : result.test);
  }
  result.images_without_labels = static_cast<int64_t>(plan.unlabelled.size());
  result.labels_without_images = static_cast<int64_t>(plan.orphan_labels.size());
  result.duplicates = static_cast<int64_t>(plan.duplicates.size());
  result.corrupt = static_cast<int64_t>(plan.corrupt.size());
  result.data_yaml = out + "/data.yaml";
  return result;
}

// The guarantee for rare classes goes before the ratios; where it costs more than rounding, people hear of it.
void WarnOfRatios(const ProcessConfig& config, const ProcessResult& result, Observer& observer) {
  const auto images = static_cast<double>(result.images);
  const double off = std::max({std::abs(static_cast<double>(result.train) - config.train * images),
                               std::abs(static_cast<double>(result.val) - config.val * images),
                               std::abs(static_cast<double>(result.test) - config.test * images)});
  if (off <= 2) return;
  observer.OnWarning(absl::StrCat("the split is ", result.train, " train, ", result.val, " val, ", result.test,
                                  " test images: classes of two images or more are kept in both train and val, which "
                                  "its ratios do not allow exactly"));
}

std::string AbsoluteFolder(const std::string& path) {
  std::string text = fs::absolute(path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

absl::StatusOr<ProcessResult> Process(ProcessConfig config, Observer& observer, const StopSignal& stop) {
  config.source = AbsoluteFolder(config.source);
  config.out = AbsoluteFolder(config.out);
  observer.OnPhase("scan");
  YOKE_RETURN_IF_ERROR(CheckConfig(config));
  YOKE_ASSIGN_OR_RETURN(const RawFolder raw, ReadRawFolder(config.source));
  const std::vector<std::string>& names = config.names.empty() ? raw.names : config.names;
  const formats::LabelRules rules{.class_count = static_cast<int>(names.size())};
  YOKE_ASSIGN_OR_RETURN(const std::vector<Judged> judged, JudgeAll(raw.images, rules, observer, stop));
  YOKE_ASSIGN_OR_RETURN(ProcessPlan plan, Select(raw, judged, config, observer));
  YOKE_RETURN_IF_ERROR(NameClasses(names, plan));
  AssignSplits(config, plan);
  const ProcessResult result = Summarise(plan, config.out);
  WarnOfRatios(config, result, observer);
  observer.OnPhase("process");
  YOKE_RETURN_IF_ERROR(WriteDataset(config, plan, result, observer, stop));
  return result;
}

}  // namespace

absl::StatusOr<ProcessResult> RunProcess(const ProcessConfig& config, Observer& observer, const StopSignal& stop) {
  try {
    return Process(config, observer, stop);
  } catch (const fs::filesystem_error& e) {
    return FileError(e.path1().string(), "use", e.code().value());
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("process: ", e.what()));
  }
}

}  // namespace yoke::engine
