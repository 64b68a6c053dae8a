#include "tests/support/fake_worker/script.h"

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/os/file.h"

namespace yoke::fake_worker {
namespace {

using nlohmann::json;

absl::StatusOr<json> ReadWhole(const ipc::AttemptSpec& spec) {
  const char* variable = std::getenv(kScriptVariable);
  const std::string value = variable == nullptr ? "" : variable;
  std::string path = value;
  if (value.starts_with("{")) {
    json parsed = json::parse(value, nullptr, false);
    if (parsed.is_discarded()) return absl::InvalidArgumentError("YOKE_FAKE_WORKER: not valid JSON");
    return parsed;
  }
  if (value.empty()) {
    path = spec.run_dir + "/fake.json";
    if (!os::FileExists(path)) return json::object();
  }
  return ipc::ReadJsonFile(path);
}

// "short" of a training with data=/sets/short.yaml.
std::string DataName(const ipc::AttemptSpec& spec) {
  const std::string data = spec.spec.value("train", json::object()).value("data", "");
  return std::filesystem::path(data).stem().string();
}

json DefaultResult(const ipc::AttemptSpec& spec, int epochs) {
  return {{"train",
           {{"epochs", epochs},
            {"bestEpoch", epochs},
            {"imagesPerSecond", 100.0},
            {"metrics", {{"precision", 0.9}, {"recall", 0.8}, {"map50", 0.85}, {"map5095", 0.6},
                         {"fitness", 0.625}}},
            {"worldSize", static_cast<int>(spec.ranks.size())},
            {"batchPerRank", 4},
            {"runDir", spec.run_dir},
            {"weightsChecksum", std::vector<double>(spec.ranks.size(), 1234.5)}}}};
}

Script FromJson(const json& object, const ipc::AttemptSpec& spec, int rank) {
  Script script;
  script.run_for = object.value("run_for", rank == kPrepareRank ? 0.0 : script.run_for);
  script.lines_per_second = object.value("lines_per_second", script.lines_per_second);
  script.epochs = object.value("epochs", script.epochs);
  script.end_at_step = object.value("end_at_step", script.end_at_step);
  script.exit_code = object.value("exit_code", script.exit_code);
  script.signal = object.value("signal", script.signal);
  script.hang = object.value("hang", script.hang);
  script.collective = object.value("collective", script.collective);
  script.stuck_at_step = object.value("stuck_at_step", script.stuck_at_step);
  script.spin_at_step = object.value("spin_at_step", script.spin_at_step);
  script.phase = object.value("phase", script.phase);
  script.ignore_term = object.value("ignore_term", script.ignore_term);
  script.checked = object.value("checked", script.checked);
  script.eat = object.value("eat", script.eat);
  script.eat_in = object.value("eat_in", script.eat_in);
  script.eat_caught = object.value("eat_caught", script.eat_caught);
  script.fork_bomb = object.value("fork_bomb", script.fork_bomb);
  script.stray = object.value("stray", script.stray);
  script.lines = object.value("lines", script.lines);
  script.events = object.value("events", script.events) && rank != kPrepareRank;
  script.witness = object.value("witness", script.witness);
  if (const auto error = object.find("error"); error != object.end()) {
    script.error_reason = error->value("reason", "INTERNAL");
    script.error_message = error->value("message", "");
  }
  const auto result = object.find("result");
  script.result = result == object.end() ? DefaultResult(spec, script.epochs) : *result;
  return script;
}

}  // namespace

absl::StatusOr<Script> ReadScript(const ipc::AttemptSpec& spec, int rank) {
  YOKE_ASSIGN_OR_RETURN(const json whole, ReadWhole(spec));
  try {
    json object = json::object();
    if (rank == kPrepareRank) {
      object = whole.value("prepare", json::object());
    } else {
      object = whole;
      object.update(whole.value("data", json::object()).value(DataName(spec), json::object()));
      object.update(whole.value("ranks", json::object()).value(std::to_string(rank), json::object()));
    }
    return FromJson(object, spec, rank);
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("script of the fake worker: ", error.what()));
  }
}

}  // namespace yoke::fake_worker
