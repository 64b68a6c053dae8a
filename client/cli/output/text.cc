#include "client/cli/output/text.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/output/table.h"
#include "client/lib/client.h"

namespace yoke::cli {
namespace {

std::string TaskWord(const v1::JobSpec& spec) {
  switch (spec.task_case()) {
    case v1::JobSpec::kTrain: return "train";
    case v1::JobSpec::kValidate: return "val";
    case v1::JobSpec::kLabel: return "label";
    case v1::JobSpec::kProcess: return "process";
    case v1::JobSpec::kSelftest: return "selftest";
    case v1::JobSpec::kExport: return "export";
    case v1::JobSpec::TASK_NOT_SET: break;
  }
  return "";
}

std::string DataWord(const v1::JobSpec& spec) {
  switch (spec.task_case()) {
    case v1::JobSpec::kTrain: return spec.train().data();
    case v1::JobSpec::kValidate: return spec.validate().data();
    case v1::JobSpec::kLabel: return absl::StrJoin(spec.label().source(), ",");
    case v1::JobSpec::kProcess: return spec.process().source();
    default: return "";
  }
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string TimeText(const google::protobuf::Timestamp& timestamp) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", ToTime(timestamp), absl::LocalTimeZone());
}

// "exit code 1", "signal 9 (Killed)".
std::string ExitText(const v1::JobError& error) {
  if (error.signal() != 0) return absl::StrCat("signal ", error.signal(), " (", strsignal(error.signal()), ")");
  return error.exit_code() != 0 ? absl::StrCat("exit code ", error.exit_code()) : "";
}

std::string MetricsText(const v1::DetectionMetrics& metrics) {
  return absl::StrFormat("mAP50 %.4f  mAP50-95 %.4f  precision %.4f  recall %.4f", metrics.map50(), metrics.map5095(), metrics.precision(),
                         metrics.recall());
}

std::vector<std::string> MetricsCells(double precision, double recall, double map50, double map5095) {
  std::vector<std::string> cells;
  for (const double value : {precision, recall, map50, map5095}) cells.push_back(absl::StrFormat("%.3f", value));
  return cells;
}

void AddRow(Table& table, std::vector<std::string> words, const std::vector<std::string>& cells) {
  words.insert(words.end(), cells.begin(), cells.end());
  table.Add(std::move(words));
}

// Each model by itself, then all together.
std::string MembersTable(const v1::ValResult& val, const std::string& method) {
  Table table({"MODEL", "WEIGHT", "P", "R", "MAP50", "MAP50-95"});
  const auto cells = [](const v1::DetectionMetrics& m) { return MetricsCells(m.precision(), m.recall(), m.map50(), m.map5095()); };
  for (const v1::MemberResult& member : val.members()) AddRow(table, {member.model(), absl::StrCat(member.weight())}, cells(member.metrics()));
  AddRow(table, {absl::StrCat("together (", method, ")"), ""}, cells(val.metrics()));
  return table.Format(1 << 20);
}

std::string CocoText(const v1::CocoMetrics& m) {
  return absl::StrFormat("AP %.4f  AP50 %.4f  AP75 %.4f  small %.4f  medium %.4f  large %.4f\n"
                         "               AR1 %.4f  AR10 %.4f  AR100 %.4f  small %.4f  medium %.4f  large %.4f",
                         m.ap(), m.ap50(), m.ap75(), m.ap_small(), m.ap_medium(), m.ap_large(), m.ar1(), m.ar10(), m.ar100(), m.ar_small(),
                         m.ar_medium(), m.ar_large());
}

std::string ValText(const v1::ValResult& val, const std::string& ensemble) {
  std::string text = absl::StrFormat("%d images, %d instances\n", val.images(), val.instances());
  absl::StrAppend(&text, "protocol 8.4:  ", MetricsText(val.metrics()), "\n");
  absl::StrAppend(&text, "protocol 8.1:  ", MetricsText(val.metrics_classic()), "\n");
  if (val.has_coco()) absl::StrAppend(&text, "protocol COCO: ", CocoText(val.coco()), "\n");
  if (val.members_size() > 0) absl::StrAppend(&text, MembersTable(val, ensemble));
  if (val.per_class_size() == 0) return text;
  Table table({"CLASS", "IMAGES", "INSTANCES", "P", "R", "MAP50", "MAP50-95"});
  for (const v1::ClassMetrics& row : val.per_class()) {
    AddRow(table, {row.name(), absl::StrCat(row.images()), absl::StrCat(row.instances())},
           MetricsCells(row.precision(), row.recall(), row.map50(), row.map5095()));
  }
  return absl::StrCat(text, table.Format(1 << 20));
}

void AddField(std::string& text, const std::string& name, const std::string& value) {
  if (!value.empty()) absl::StrAppendFormat(&text, "%-12s %s\n", absl::StrCat(name, ":"), value);
}

void AddScheduling(std::string& text, const v1::Scheduling& scheduling) {
  if (scheduling.queue() != "default") AddField(text, "queue", scheduling.queue());
  for (const v1::Scheduling::Dependency& dependency : scheduling.dependencies()) {
    const char* how = dependency.condition() == v1::Scheduling::Dependency::NOT_OK ? " failed"
                      : dependency.condition() == v1::Scheduling::Dependency::ANY  ? " ended"
                                                                                   : " succeeded";
    AddField(text, "after", absl::StrCat(client::JobId(dependency.job()), how));
  }
  if (scheduling.has_time_limit()) {
    AddField(text, "time limit", absl::StrCat(absl::FormatDuration(absl::Seconds(scheduling.time_limit().seconds())), ", asked to save ",
                                              absl::FormatDuration(absl::Seconds(scheduling.signal_before().seconds())), " before"));
  }
  if (scheduling.preemptible()) AddField(text, "preemptible", "yes");
  if (scheduling.share_memory_bytes() > 0)
    AddField(text, "shares",
             absl::StrCat(Bytes(scheduling.share_memory_bytes()), " of each device, unfenced"));
}

void AddArray(std::string& text, const v1::Array& array) {
  AddField(text, "tasks",
           absl::StrCat(array.count(), ", indices ", array.first(), " to ",
                        array.first() + array.count() - 1,
                        array.running_max() > 0
                            ? absl::StrCat(", at most ", array.running_max(), " at once")
                            : ""));
  for (const v1::SweepKey& key : array.sweep()) {
    const auto word = [](std::string* out, const v1::SweepValue& value) {
      absl::StrAppend(out, value.text());
    };
    AddField(text, "sweep",
             key.has_range()
                 ? absl::StrCat(key.key(), "=", key.range().min(), "..", key.range().max(),
                                key.range().log() ? ":log" : "")
                 : absl::StrCat(key.key(), "=", absl::StrJoin(key.values(), ",", word)));
  }
  if (array.random()) AddField(text, "drawn with", absl::StrCat("seed ", array.seed()));
}

std::string DevicesWord(const v1::Job& job) {
  if (job.attempts_size() > 0 && job.attempts().rbegin()->device_uuids_size() > 0) return absl::StrJoin(job.attempts().rbegin()->device_uuids(), ",");
  return absl::StrJoin(job.device_uuids(), ",");
}

}  // namespace

std::string ShortDuration(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  if (seconds < 120) return absl::StrCat(seconds, "s");
  if (seconds < 120 * 60) return absl::StrCat(seconds / 60, "m");
  if (seconds < 48 * 3600) return absl::StrCat(seconds / 3600, "h");
  return absl::StrCat(seconds / 86400, "d");
}

std::string Bytes(int64_t bytes) {
  if (bytes < int64_t{1} << 20) return absl::StrCat(bytes >> 10, " KiB");
  if (bytes < int64_t{1} << 30) return absl::StrCat(bytes >> 20, " MiB");
  return absl::StrFormat("%.1f GiB", static_cast<double>(bytes) / (1 << 30));
}

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

std::string StateWord(const v1::Job& job) { return v1::Job::State_Name(job.state()); }

std::string ProgressWord(const v1::Job& job) {
  if (job.has_array()) {
    const v1::Array& array = job.array();
    const bool ended = job.has_end_time();
    const int waiting = ended ? 0 : array.count() - array.made() + array.queued();
    return absl::StrCat(
        waiting, " waiting, ", array.running(), " running, ", array.succeeded(), " done, ",
        array.failed(), " failed",
        array.cancelled() > 0 ? absl::StrCat(", ", array.cancelled(), " cancelled") : "");
  }
  const v1::JobProgress& progress = job.progress();
  if (progress.epochs() > 0) return absl::StrCat(progress.epoch(), "/", progress.epochs(), " epochs");
  if (progress.total() > 0) return absl::StrCat(progress.done(), "/", progress.total(), " images");
  return progress.phase();
}

std::string JobTable(const std::vector<v1::Job>& jobs, absl::Time now, bool wide, int width) {
  std::vector<std::string> headers = {"ID", "NAME", "TASK", "STATE", "OWNER", "DEVICES", "PROGRESS", "AGE"};
  if (wide) headers.insert(headers.end(), {"PRIORITY", "DATA", "RUN FOLDER"});
  headers.push_back("MESSAGE");
  Table table(headers);
  for (const v1::Job& job : jobs) {
    const std::string task = job.has_array()
                                 ? absl::StrCat(TaskWord(job.spec()), " x", job.array().count())
                                 : TaskWord(job.spec());
    std::vector<std::string> row = {client::JobId(job.name()), job.display_name(), task, StateWord(job), job.owner(),
                                    wide ? DevicesWord(job) : job.spec().device(), ProgressWord(job),
                                    ShortDuration(now - ToTime(job.create_time()))};
    if (wide) row.insert(row.end(), {absl::StrCat(job.priority()), DataWord(job.spec()), job.run_dir()});
    row.push_back(FirstLine(job.message()));
    table.Add(row);
  }
  return table.Format(width);
}

std::string FailureText(const v1::Job& job) {
  std::string text;
  const std::string id = client::JobId(job.name());
  switch (job.state()) {
    case v1::Job::FAILED:
      text = absl::StrCat("job ", id, " failed (", v1::JobReason::Code_Name(job.reason()), "): ", job.message(), "\n");
      break;
    case v1::Job::CANCELLED:
      return absl::StrCat("job ", id, " was cancelled", job.message().empty() ? "" : ": ", job.message(), "\n");
    case v1::Job::TIMED_OUT:
      text = absl::StrCat("job ", id, " ran out of time: ", job.message(), "\n");
      break;
    default:
      return "";
  }
  if (!job.has_error()) return text;
  const v1::JobError& error = job.error();
  const bool alone = job.attempts_size() > 0 && job.attempts().rbegin()->world_size() == 1;
  if (error.rank() >= 0 && !alone && !ExitText(error).empty())
    absl::StrAppend(&text, "rank ", error.rank(), " ended first: ", ExitText(error), "\n");
  if (error.last_lines_size() > 0) absl::StrAppend(&text, "its last lines:\n");
  for (const std::string& line : error.last_lines()) absl::StrAppend(&text, "  ", line, "\n");
  return text;
}

std::string ResultText(const v1::Job& job) {
  std::string text;
  const v1::JobResult& result = job.result();
  if (result.has_process()) {
    const v1::ProcessResult& made = result.process();
    absl::StrAppend(&text, "data set of ", made.images(), " images (", made.train(), " train, ", made.val(), " val, ", made.test(), " test), ",
                    made.boxes(), " boxes: ", made.data_yaml(), "\n");
  }
  if (result.has_train()) {
    const v1::TrainResult& train = result.train();
    absl::StrAppendFormat(&text, "%d epochs, best %d, %.1f images/s: %s\nweights: %s/weights/best.pt\n", train.epochs(), train.best_epoch(),
                          train.images_per_second(), MetricsText(train.metrics()), train.run_dir());
  }
  if (result.has_val()) {
    absl::StrAppend(&text, ValText(result.val(), job.spec().validate().ensemble()));
  }
  if (result.has_label()) {
    const v1::LabelResult& label = result.label();
    absl::StrAppendFormat(&text, "%d images: %d labelled, %d empty, %d kept, %d failed; %d boxes, %.1f images/s: %s\n", label.images(),
                          label.labelled(), label.empty(), label.kept(), label.failed(), label.boxes(), label.images_per_second(), label.out_dir());
    for (const std::string& failure : label.failures()) absl::StrAppend(&text, "  ", failure, "\n");
  }
  if (result.has_export_()) {
    absl::StrAppend(&text, result.export_().path(), " (", Bytes(result.export_().bytes()), ")\n");
  }
  for (const std::string& check : result.selftest().checks()) absl::StrAppend(&text, "  ", check, "\n");
  return text;
}

std::string JobDetails(const v1::Job& job) {
  std::string text;
  AddField(text, "id", client::JobId(job.name()));
  AddField(text, "name", job.display_name());
  AddField(text, "task", TaskWord(job.spec()));
  AddField(text, "state", StateWord(job));
  AddField(text, "reason", job.reason() == v1::JobReason::CODE_UNSPECIFIED ? "" : v1::JobReason::Code_Name(job.reason()));
  AddField(text, "message", job.message());
  AddField(text, "owner", job.owner());
  if (job.priority() != 0) AddField(text, "priority", absl::StrCat(job.priority()));
  AddScheduling(text, job.scheduling());
  if (job.has_array()) AddArray(text, job.array());
  if (!job.array_job().empty())
    AddField(text, "task of",
             absl::StrCat(client::JobId(job.array_job()), ", index ", job.array_index()));
  for (const v1::TaskValue& value : job.task_values()) AddField(text, value.key(), value.text());
  AddField(text, "data", DataWord(job.spec()));
  AddField(text, "device", job.spec().device());
  AddField(text, "devices", DevicesWord(job));
  AddField(text, "progress", ProgressWord(job));
  AddField(text, "resumes", client::JobId(job.parent()));
  if (job.has_create_time()) AddField(text, "created", TimeText(job.create_time()));
  if (job.has_start_time()) AddField(text, "started", TimeText(job.start_time()));
  if (job.has_end_time()) AddField(text, "ended", TimeText(job.end_time()));
  AddField(text, "run folder", job.run_dir());
  for (const std::string& warning : job.warnings()) AddField(text, "warning", warning);
  for (const std::string& line : job.banner()) absl::StrAppend(&text, "  ", line, "\n");
  for (const v1::Attempt& attempt : job.attempts()) {
    std::string line = absl::StrCat("world size ", attempt.world_size());
    if (attempt.has_start_time()) {
      const absl::Time end = attempt.has_end_time() ? ToTime(attempt.end_time()) : absl::Now();
      absl::StrAppend(&line, ", ", ShortDuration(end - ToTime(attempt.start_time())));
    }
    absl::StrAppend(&line, attempt.outcome() == v1::Attempt::OUTCOME_UNSPECIFIED ? "" : ", ",
                    attempt.outcome() == v1::Attempt::OUTCOME_UNSPECIFIED ? "" : v1::Attempt::Outcome_Name(attempt.outcome()));
    if (attempt.has_error() && !ExitText(attempt.error()).empty()) {
      absl::StrAppend(&line, ", rank ", attempt.error().rank(), ": ", ExitText(attempt.error()));
    }
    AddField(text, absl::StrCat("attempt ", attempt.number()), line);
  }
  return absl::StrCat(text, ResultText(job), FailureText(job));
}

std::string DeviceTable(const std::vector<v1::Device>& devices, bool wide, int width) {
  std::vector<std::string> headers = {"INDEX", "KIND", "NAME", "STATE", "HOLDER", "UTIL", "MEMORY", "TEMP"};
  if (wide) headers.insert(headers.end(), {"POWER", "COMPUTE", "PCI", "UUID"});
  headers.push_back("MESSAGE");
  Table table(headers);
  for (const v1::Device& device : devices) {
    std::string memory;
    if (device.memory_total_bytes() > 0) {
      memory = absl::StrCat(device.memory_used_bytes() > 0 ? absl::StrCat(Bytes(device.memory_used_bytes()), " / ") : "",
                            Bytes(device.memory_total_bytes()));
    }
    std::vector<std::string> row = {
        device.index() < 0 ? "-" : absl::StrCat(device.index()),
        device.kind() == v1::Device::GPU ? "GPU" : "CPU slot",
        device.kind() == v1::Device::GPU || device.threads() == 0 ? device.name() : absl::StrCat(device.name(), " (", device.threads(), device.threads() == 1 ? " thread)" : " threads)"),
        v1::Device::State_Name(device.state()),
        absl::StrCat(client::JobId(device.holder()),
                     device.shares_size() > 1 ? absl::StrCat(" +", device.shares_size() - 1) : ""),
        device.has_utilization_percent() ? absl::StrFormat("%.0f %%", device.utilization_percent()) : "-",
        memory.empty() ? "-" : memory,
        device.has_temperature_celsius() ? absl::StrFormat("%.0f C", device.temperature_celsius()) : "-"};
    if (wide) {
      row.insert(row.end(), {device.has_power_watts() ? absl::StrFormat("%.0f W", device.power_watts()) : "-", device.compute_capability(),
                             device.pci_bus_id(), device.uuid()});
    }
    // Who holds it has a column of its own.
    row.push_back(device.state() == v1::Device::LEASED && device.shares().empty() ? "" : device.message());
    table.Add(row);
  }
  return table.Format(width);
}

std::string ChoiceTable(const v1::ListDevicesResponse& answer) {
  Table table({"CHOICE", "WRITE"});
  for (const v1::DeviceChoice& choice : answer.choices()) {
    table.Add({choice.label(), choice.device().empty() ? "device=..." : absl::StrCat("device=", choice.device())});
  }
  return table.Format(1 << 20);
}

}  // namespace yoke::cli
