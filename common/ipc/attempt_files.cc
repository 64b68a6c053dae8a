#include "common/ipc/attempt_files.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/ipc/json_reader.h"
#include "common/os/file.h"

namespace yoke::ipc {
namespace {

using nlohmann::json;

json RankSpecToJson(const RankSpec& rank) {
  return {{"devices", rank.devices}, {"threads", rank.threads}};
}

json RankExitToJson(const RankExit& exit) {
  return {{"rank", exit.rank}, {"exit_code", exit.exit_code}, {"signal", exit.signal}, {"peak_rss_bytes", exit.peak_rss_bytes}};
}

absl::StatusOr<RankSpec> RankSpecFromJson(const json& object) {
  RankSpec rank;
  JsonReader reader(object, "attempt spec, rank");
  reader.Read("devices", rank.devices);
  reader.ReadIfPresent("threads", rank.threads);
  if (!reader.status().ok()) return reader.status();
  return rank;
}

absl::StatusOr<RankExit> RankExitFromJson(const json& object) {
  RankExit exit;
  JsonReader reader(object, "exit record, rank");
  reader.Read("rank", exit.rank);
  reader.Read("exit_code", exit.exit_code);
  reader.Read("signal", exit.signal);
  reader.ReadIfPresent("peak_rss_bytes", exit.peak_rss_bytes);
  if (!reader.status().ok()) return reader.status();
  return exit;
}

// Each item of the list member `name` through `parse`. An absent member is an empty list.
template <typename T>
void ReadList(JsonReader& reader, const char* name, absl::StatusOr<T> (*parse)(const json&),
              std::vector<T>& items) {
  const json* list = reader.Find(name);
  if (list == nullptr) return;
  if (!list->is_array()) return reader.Fail(absl::StrCat("'", name, "' must be a list"));
  for (const json& object : *list) {
    absl::StatusOr<T> item = parse(object);
    if (!item.ok()) return reader.Fail(std::string(item.status().message()));
    items.push_back(*std::move(item));
  }
}

}  // namespace

json ToJson(const AttemptSpec& spec) {
  json ranks = json::array();
  for (const RankSpec& rank : spec.ranks) ranks.push_back(RankSpecToJson(rank));
  return {{"protocol", spec.protocol},
          {"job", spec.job},
          {"attempt", spec.attempt},
          {"run_id", spec.run_id},
          {"attempt_dir", spec.attempt_dir},
          {"run_dir", spec.run_dir},
          {"cache_dir", spec.cache_dir},
          {"worker", spec.worker},
          {"prepare", spec.prepare},
          {"backend", spec.backend},
          {"resume_from", spec.resume_from},
          {"grace_seconds", spec.grace_seconds},
          {"hang_seconds", spec.hang_seconds},
          {"cgroup", spec.cgroup},
          {"processes_max", spec.processes_max},
          {"log_bytes_max", spec.log_bytes_max},
          {"ranks", std::move(ranks)},
          {"device_words", spec.device_words},
          {"user_set", spec.user_set},
          {"spec", spec.spec.is_null() ? json::object() : spec.spec}};
}

json ToJson(const StartRecord& record) {
  return {{"protocol", record.protocol},
          {"pid", record.pid},
          {"start_ticks", record.start_ticks},
          {"boot_id", record.boot_id},
          {"run_id", record.run_id}};
}

json ToJson(const StopRequest& request) {
  return {{"reason", request.reason}, {"grace_seconds", request.grace_seconds}};
}

json ToJson(const ExitRecord& record) {
  json ranks = json::array();
  for (const RankExit& rank : record.ranks) ranks.push_back(RankExitToJson(rank));
  json out = {{"protocol", record.protocol},
              {"run_id", record.run_id},
              {"outcome", record.outcome},
              {"reason", record.reason},
              {"message", record.message},
              {"ranks", std::move(ranks)},
              {"start_time", record.start_time},
              {"end_time", record.end_time},
              {"peak_rss_bytes", record.peak_rss_bytes},
              {"killed_strays", record.killed_strays},
              {"none_left", record.none_left}};
  if (record.has_first_failure) {
    out["first_failure"] = RankExitToJson(record.first_failure);
    out["last_lines"] = record.last_lines;
  }
  return out;
}

absl::StatusOr<AttemptSpec> AttemptSpecFromJson(const json& object) {
  AttemptSpec spec;
  JsonReader reader(object, "attempt spec");
  reader.Read("protocol", spec.protocol);
  reader.Read("job", spec.job);
  reader.Read("attempt", spec.attempt);
  reader.Read("run_id", spec.run_id);
  reader.Read("attempt_dir", spec.attempt_dir);
  reader.Read("run_dir", spec.run_dir);
  reader.ReadIfPresent("cache_dir", spec.cache_dir);
  reader.Read("worker", spec.worker);
  reader.ReadIfPresent("prepare", spec.prepare);
  reader.ReadIfPresent("backend", spec.backend);
  reader.ReadIfPresent("resume_from", spec.resume_from);
  reader.ReadIfPresent("grace_seconds", spec.grace_seconds);
  reader.ReadIfPresent("hang_seconds", spec.hang_seconds);
  reader.ReadIfPresent("cgroup", spec.cgroup);
  reader.ReadIfPresent("processes_max", spec.processes_max);
  reader.ReadIfPresent("log_bytes_max", spec.log_bytes_max);
  ReadList(reader, "ranks", RankSpecFromJson, spec.ranks);
  reader.ReadIfPresent("device_words", spec.device_words);
  reader.ReadIfPresent("user_set", spec.user_set);
  spec.spec = json::object();
  reader.ReadIfPresent("spec", spec.spec);
  if (!reader.status().ok()) return reader.status();
  return spec;
}

absl::StatusOr<StartRecord> StartRecordFromJson(const json& object) {
  StartRecord record;
  JsonReader reader(object, "start record");
  reader.Read("protocol", record.protocol);
  reader.Read("pid", record.pid);
  reader.Read("start_ticks", record.start_ticks);
  reader.Read("boot_id", record.boot_id);
  reader.Read("run_id", record.run_id);
  if (!reader.status().ok()) return reader.status();
  return record;
}

absl::StatusOr<StopRequest> StopRequestFromJson(const json& object) {
  StopRequest request;
  JsonReader reader(object, "stop request");
  reader.Read("reason", request.reason);
  reader.ReadIfPresent("grace_seconds", request.grace_seconds);
  if (!reader.status().ok()) return reader.status();
  return request;
}

absl::StatusOr<ExitRecord> ExitRecordFromJson(const json& object) {
  ExitRecord record;
  JsonReader reader(object, "exit record");
  reader.Read("protocol", record.protocol);
  reader.Read("run_id", record.run_id);
  reader.Read("outcome", record.outcome);
  reader.ReadIfPresent("reason", record.reason);
  reader.ReadIfPresent("message", record.message);
  ReadList(reader, "ranks", RankExitFromJson, record.ranks);
  reader.ReadIfPresent("start_time", record.start_time);
  reader.ReadIfPresent("end_time", record.end_time);
  reader.ReadIfPresent("peak_rss_bytes", record.peak_rss_bytes);
  reader.ReadIfPresent("killed_strays", record.killed_strays);
  reader.ReadIfPresent("none_left", record.none_left);
  reader.ReadIfPresent("last_lines", record.last_lines);
  if (!reader.status().ok()) return reader.status();
  if (const json* failure = reader.Find("first_failure")) {
    YOKE_ASSIGN_OR_RETURN(record.first_failure, RankExitFromJson(*failure));
    record.has_first_failure = true;
  }
  return record;
}

absl::StatusOr<json> ReadJsonFile(const std::string& path) {
  YOKE_ASSIGN_OR_RETURN(const std::string text, os::ReadFile(path));
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not valid JSON"));
  }
  return parsed;
}

absl::Status WriteJsonFile(const std::string& path, const json& object, os::Sync sync) {
  // Log lines may hold bytes that are not UTF-8; they must not keep a record from being written.
  const std::string text =
      object.dump(2, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
  return os::AtomicWriteFile(path, text + "\n", 0644, sync);
}

std::string RankLogName(int rank) { return absl::StrCat("rank", rank, ".log"); }

std::string RankEventsName(int rank) { return absl::StrCat("rank", rank, ".events.jsonl"); }

}  // namespace yoke::ipc
