#include "server/engine/train/run_folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/atomic_file.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/train/epoch_columns.h"
#include "server/engine/train/run_args.h"
#include "yaml-cpp/yaml.h"

namespace yoke::engine {
namespace {

namespace fs = std::filesystem;

absl::Status WriteText(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.Write(text.data(), text.size());
  return file.Commit();
}

// As the reference prints numbers there.
std::string Number(double value) { return absl::StrFormat("%.6g", value); }

std::string YamlOf(const ArgList& args) {
  YAML::Emitter out;
  out.SetDoublePrecision(15);  // 0.7, not 0.69999999999999996
  const auto emit = [&](const ArgValue& value) {
    if (const auto* list = std::get_if<std::vector<int>>(&value)) {
      out << YAML::Flow << *list;
    } else if (std::holds_alternative<std::monostate>(value)) {
      out << YAML::Null;
    } else if (const auto* real = std::get_if<double>(&value)) {
      out << *real;
    } else if (const auto* integer = std::get_if<int64_t>(&value)) {
      out << *integer;
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      out << *flag;
    } else {
      out << std::get<std::string>(value);
    }
  };
  out << YAML::BeginMap;
  for (const auto& [key, value] : args) {
    out << YAML::Key << key << YAML::Value;
    emit(value);
  }
  out << YAML::EndMap;
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace

absl::Status WriteArgs(const TrainConfig& config) {
  ArgList args = CompleteArgs(ArgsOf(config));
  args.emplace_back("save_dir", config.run_dir);
  YOKE_RETURN_IF_ERROR(WriteText(absl::StrCat(config.run_dir, "/", kArgsFile), YamlOf(args)));
  return WriteText(absl::StrCat(config.run_dir, "/", kRecipeFile), YamlOf(OwnArgsOf(config)));
}

std::vector<std::string> ArgsThatDiffer(const std::string& folder, const TrainConfig& config) {
  std::vector<std::string> differ;
  const std::pair<const char*, ArgList> files[] = {{kArgsFile, ArgsOf(config)},
                                                   {kRecipeFile, OwnArgsOf(config)}};
  for (const auto& [file, args] : files) {
    const absl::StatusOr<std::string> text =
        ReadTextFile(absl::StrCat(folder, "/", file), kSettingsBytesMax);
    if (!text.ok()) continue;
    try {
      const YAML::Node there = YAML::Load(*text), here = YAML::Load(YamlOf(args));
      for (const auto& entry : here) {
        const std::string key = entry.first.Scalar();
        const YAML::Node before = there[key];
        if (!before.IsDefined() || key == "model" || key == "data" || key == "resume") continue;
        if (std::count(config.user_set.begin(), config.user_set.end(), key) > 0) continue;
        const std::string was = YAML::Dump(before), is = YAML::Dump(entry.second);
        if (was != is) differ.push_back(absl::StrCat(key, " is ", was, " there, ", is, " here"));
      }
    } catch (const YAML::Exception&) {
      // Somebody has edited it.
    }
  }
  return differ;
}

absl::Status MakeRunFolder(const std::string& run_dir) {
  std::error_code error;
  fs::create_directories(run_dir + "/weights", error);
  if (!error) return absl::OkStatus();
  const std::string what = absl::StrCat("cannot make ", run_dir, "/weights: ", error.message());
  return error == std::errc::no_space_on_device ? absl::ResourceExhaustedError(what)
                                                : absl::PermissionDeniedError(what);
}

void ResultsFile::Continue(const std::string& from_run_dir, int epochs) {
  std::ifstream file(from_run_dir + "/results.csv");
  std::string line;
  std::getline(file, header_);
  while (std::getline(file, line)) {
    int epoch = 0;
    const std::string first = line.substr(0, line.find(','));
    if (absl::SimpleAtoi(first, &epoch) && epoch >= 1 && epoch <= epochs) rows_.push_back(line);
  }
}

absl::Status ResultsFile::Append(const EpochReport& report) {
  header_ = "epoch,time";
  std::string row = absl::StrCat(report.epoch, ",", Number(report.seconds));
  for (const auto& [name, value] : EpochColumns(report)) {
    absl::StrAppend(&header_, ",", name);
    absl::StrAppend(&row, ",", Number(value));
  }
  rows_.push_back(row);
  std::string text = absl::StrCat(header_, "\n");
  for (const std::string& one : rows_) absl::StrAppend(&text, one, "\n");
  return WriteText(path_, text);
}

std::vector<std::pair<std::string, std::vector<double>>> ResultsFile::Columns() const {
  std::vector<std::pair<std::string, std::vector<double>>> columns;
  if (header_.empty()) return columns;
  const std::vector<std::string> names = absl::StrSplit(header_, ',');
  for (const std::string& name : names) columns.emplace_back(name, std::vector<double>());
  for (const std::string& row : rows_) {
    const std::vector<std::string> values = absl::StrSplit(row, ',');
    for (size_t i = 0; i < columns.size(); ++i) {
      double value = 0;  // of a column that a run had not before it was continued
      if (i < values.size()) (void)absl::SimpleAtod(values[i], &value);
      columns[i].second.push_back(value);
    }
  }
  return columns;
}

}  // namespace yoke::engine
