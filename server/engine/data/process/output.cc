#include "server/engine/data/process/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/engine/data/file_bytes.h"
#include "yaml-cpp/yaml.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNamedMax = 1000;  // files of one kind named in the report
constexpr const char* kSplits[kSplitCount] = {"train", "val", "test"};

// A folder beside `out`, removed unless it was renamed to `out`.
class Staging {
 public:
  absl::Status Create(const std::string& out) {
    std::error_code error;
    fs::create_directories(fs::path(out).parent_path(), error);
    if (error) return FileError(fs::path(out).parent_path().string(), "create", error.value());
    std::string pattern = out + ".tmp-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) return FileError(fs::path(out).parent_path().string(), "write to", errno);
    path_ = pattern;
    ::chmod(path_.c_str(), 0755);
    return absl::OkStatus();
  }
  ~Staging() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  absl::Status Publish(const std::string& out) {
    const int fd = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = fd >= 0 && ::syncfs(fd) == 0;
    const int error = errno;
    if (fd >= 0) ::close(fd);
    if (!synced) return FileError(path_, "write", error);
    if (::rename(path_.c_str(), out.c_str()) != 0) return FileError(out, "create", errno);
    path_.clear();
    return absl::OkStatus();
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// `sub/a.jpg` of the source keeps its folders, but those called images: readers find labels by that name. Two files
// that would share a label file get different stems.
fs::path OutputPath(const fs::path& relative, std::set<std::string>& taken) {
  fs::path folder;
  for (const fs::path& part : relative.parent_path()) {
    if (part != "images") folder /= part;
  }
  const std::string extension = relative.extension().string();
  std::string stem = relative.stem().string();
  for (int i = 2; !taken.insert((folder / stem).string()).second; ++i) {
    stem = absl::StrCat(relative.stem().string(), "-", i);
  }
  return folder / (stem + extension);
}

absl::Status WriteNew(const std::string& path, std::string_view bytes) { return WriteFile(path, O_EXCL, bytes, path); }

absl::Status CopyImage(const std::string& from, const std::string& to, bool link) {
  // Resolved first: a link to a symbolic link would point elsewhere from `to`.
  std::error_code error;
  const fs::path real = fs::canonical(from, error);
  if (error) return FileError(from, "read", error.value());
  if (link && ::link(real.c_str(), to.c_str()) == 0) return absl::OkStatus();
  // Not fs::copy_file: it says "Input/output error" of a full disk.
  YOKE_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFileBytes(real.string()));
  return WriteNew(to, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

absl::Status WriteFiles(const std::string& root, const ProcessConfig& config, const ProcessPlan& plan,
                        Observer& observer, const StopSignal& stop) {
  const double ratios[kSplitCount] = {config.train, config.val, config.test};
  for (int s = 0; s < kSplitCount; ++s) {
    if (ratios[s] <= 0) continue;
    for (const char* kind : {"/images/", "/labels/"}) fs::create_directories(root + kind + kSplits[s]);
  }
  std::set<std::string> taken;
  int64_t done = 0;
  for (const PlannedFile& file : plan.images) {
    if (stop.requested()) return absl::CancelledError("stopped; nothing was kept");
    const std::string split = kSplits[static_cast<int>(file.split)];
    const fs::path relative = OutputPath(file.raw.relative, taken);
    const fs::path image = fs::path(root) / "images" / split / relative;
    const fs::path label = (fs::path(root) / "labels" / split / relative).replace_extension(".txt");
    fs::create_directories(image.parent_path());
    fs::create_directories(label.parent_path());
    YOKE_RETURN_IF_ERROR(CopyImage(file.raw.path, image.string(), config.link));
    std::string text;
    if (!file.raw.label_path.empty()) {
      YOKE_ASSIGN_OR_RETURN(text, ReadTextFile(file.raw.label_path, SIZE_MAX - 1));
    }
    YOKE_RETURN_IF_ERROR(WriteNew(label.string(), text));
    observer.OnProgress(++done, static_cast<int64_t>(plan.images.size()), "images written");
  }
  return absl::OkStatus();
}

std::string DataYamlText(const ProcessConfig& config, const ProcessPlan& plan) {
  YAML::Emitter yaml;
  yaml << YAML::Comment("Paths are relative to this file.") << YAML::BeginMap;
  yaml << YAML::Key << "train" << YAML::Value << "images/train";
  // A data set without a val split validates on what it trains on.
  yaml << YAML::Key << "val" << YAML::Value << (config.val > 0 ? "images/val" : "images/train");
  if (config.test > 0) yaml << YAML::Key << "test" << YAML::Value << "images/test";
  yaml << YAML::Key << "names" << YAML::Value << YAML::BeginMap;
  for (size_t i = 0; i < plan.names.size(); ++i) {
    yaml << YAML::Key << static_cast<int>(i) << YAML::Value << YAML::DoubleQuoted << plan.names[i];
  }
  yaml << YAML::EndMap << YAML::EndMap;
  return std::string(yaml.c_str()) + "\n";
}

struct ClassCounts {
  int64_t boxes = 0;
  int64_t images[kSplitCount] = {};
};

std::vector<ClassCounts> CountClasses(const ProcessPlan& plan) {
  std::vector<ClassCounts> counts(plan.names.size());
  for (const PlannedFile& file : plan.images) {
    for (int id : file.class_ids) ++counts[static_cast<size_t>(id)].boxes;
    for (int id : std::set<int>(file.class_ids.begin(), file.class_ids.end())) {
      ++counts[static_cast<size_t>(id)].images[static_cast<int>(file.split)];
    }
  }
  return counts;
}

nlohmann::ordered_json FirstOf(const std::vector<std::string>& sentences) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (size_t i = 0; i < sentences.size() && i < kNamedMax; ++i) out.push_back(sentences[i]);
  return out;
}

std::string ReportJson(const ProcessConfig& config, const ProcessPlan& plan, const ProcessResult& result) {
  nlohmann::ordered_json report = {
      {"source", config.source}, {"seed", config.seed}, {"images", result.images}, {"train", result.train},
      {"val", result.val}, {"test", result.test}, {"boxes", result.boxes}};
  const std::vector<ClassCounts> counts = CountClasses(plan);
  report["classes"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < plan.names.size(); ++i) {
    report["classes"].push_back({{"id", i}, {"name", plan.names[i]}, {"boxes", counts[i].boxes},
                                 {"train_images", counts[i].images[0]}, {"val_images", counts[i].images[1]},
                                 {"test_images", counts[i].images[2]}});
  }
  report["images_without_labels"] = {{"count", result.images_without_labels}, {"files", FirstOf(plan.unlabelled)}};
  report["labels_without_images"] = {{"count", result.labels_without_images}, {"files", FirstOf(plan.orphan_labels)}};
  std::vector<std::string> duplicates;
  for (const auto& [left_out, kept] : plan.duplicates) duplicates.push_back(left_out + " equals " + kept);
  report["duplicates"] = {{"count", result.duplicates}, {"files", FirstOf(duplicates)}};
  report["corrupt"] = {{"count", result.corrupt}, {"files", FirstOf(plan.corrupt)}};
  return report.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string ReportText(const ProcessPlan& plan, const ProcessResult& result) {
  std::string text = absl::StrCat("images                 ", result.images, " (train ", result.train, ", val ", result.val,
                                  ", test ", result.test, ")\nboxes                  ", result.boxes,
                                  "\nimages without labels  ", result.images_without_labels, " (kept as backgrounds)",
                                  "\nlabels without images  ", result.labels_without_images,
                                  "\nduplicates             ", result.duplicates, " (left out)",
                                  "\ncorrupt                ", result.corrupt, " (left out)\n\n",
                                  "class: boxes, images in train / val / test\n");
  const std::vector<ClassCounts> counts = CountClasses(plan);
  for (size_t i = 0; i < plan.names.size(); ++i) {
    absl::StrAppend(&text, i, " ", plan.names[i], ": ", counts[i].boxes, ", ", counts[i].images[0], " / ",
                    counts[i].images[1], " / ", counts[i].images[2], "\n");
  }
  return text;
}

}  // namespace

absl::Status WriteDataset(const ProcessConfig& config, const ProcessPlan& plan, const ProcessResult& result,
                          Observer& observer, const StopSignal& stop) {
  Staging staging;
  YOKE_RETURN_IF_ERROR(staging.Create(config.out));
  const std::string& root = staging.path();
  YOKE_RETURN_IF_ERROR(WriteFiles(root, config, plan, observer, stop));
  YOKE_RETURN_IF_ERROR(WriteNew(root + "/data.yaml", DataYamlText(config, plan)));
  YOKE_RETURN_IF_ERROR(WriteNew(root + "/report.json", ReportJson(config, plan, result)));
  YOKE_RETURN_IF_ERROR(WriteNew(root + "/report.txt", ReportText(plan, result)));
  return staging.Publish(config.out);
}

}  // namespace yoke::engine
