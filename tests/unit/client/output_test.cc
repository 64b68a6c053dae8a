// What is printed: tables, JSON, YAML, failures, progress, completions.
#include <sstream>

#include "CLI/CLI.hpp"
#include "client/cli/commands/candidates.h"
#include "client/cli/commands/commands.h"
#include "client/cli/commands/duration.h"
#include "client/cli/commands/job_filter.h"
#include "client/cli/output/format.h"
#include "client/cli/output/log_lines.h"
#include "client/cli/output/progress.h"
#include "client/cli/output/table.h"
#include "client/cli/output/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "yaml-cpp/yaml.h"

namespace yoke::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

v1::Job FailedJob() {
  v1::Job job;
  job.set_name("jobs/abc");
  job.set_display_name("yes");
  job.set_state(v1::Job::FAILED);
  job.set_reason(v1::JobReason::RANK_FAILED);
  job.set_message("rank 1 was killed");
  job.mutable_spec()->mutable_train()->set_data("/data/set one.yaml");
  job.mutable_error()->set_rank(1);
  job.mutable_error()->set_signal(9);
  job.mutable_error()->add_last_lines("epoch 3: loss 1.0");
  job.mutable_create_time()->set_seconds(1000);
  return job;
}

TEST(Json, ZerosEmptyListsAndEnumNamesArePrinted) {
  const nlohmann::json json = nlohmann::json::parse(ToJson(FailedJob(), true));
  EXPECT_EQ(json["state"], "FAILED");
  EXPECT_EQ(json["priority"], 0);
  EXPECT_EQ(json["error"]["exitCode"], 0);
  EXPECT_EQ(json["error"]["lastLines"][0], "epoch 3: loss 1.0");
  EXPECT_TRUE(json["attempts"].is_array());
  EXPECT_EQ(nlohmann::json::parse(ToJson(v1::ListJobsResponse(), false))["jobs"], nlohmann::json::array());
}

TEST(Yaml, ReadsBackAsTheSame) {
  v1::Job job = FailedJob();
  job.add_banner("Devices: 0,1 (2 GPUs)");
  job.add_banner("# no: comment");
  job.add_attempts()->set_run_id("0123");
  job.add_attempts()->set_number(2);
  const YAML::Node yaml = YAML::Load(ToYaml(job));
  EXPECT_EQ(yaml["name"].as<std::string>(), "jobs/abc");
  EXPECT_EQ(yaml["displayName"].as<std::string>(), "yes");
  EXPECT_EQ(yaml["spec"]["train"]["data"].as<std::string>(), "/data/set one.yaml");
  EXPECT_EQ(yaml["banner"][1].as<std::string>(), "# no: comment");
  EXPECT_EQ(yaml["attempts"][0]["runId"].as<std::string>(), "0123");
  EXPECT_EQ(yaml["attempts"][1]["number"].as<int>(), 2);
  EXPECT_TRUE(yaml["warnings"].IsSequence());
  EXPECT_THAT(ToYaml(job), HasSubstr("displayName: \"yes\""));
}

TEST(Failure, NamesRankSignalAndLastLines) {
  const std::string text = FailureText(FailedJob());
  EXPECT_THAT(text, HasSubstr("job abc failed (RANK_FAILED): rank 1 was killed"));
  EXPECT_THAT(text, HasSubstr("rank 1 ended first: signal 9 (Killed)"));
  EXPECT_THAT(text, HasSubstr("epoch 3: loss 1.0"));
  v1::Job alone = FailedJob();
  alone.add_attempts()->set_world_size(1);
  EXPECT_THAT(FailureText(alone), Not(HasSubstr("ended first")));
  v1::Job fine;
  fine.set_state(v1::Job::SUCCEEDED);
  EXPECT_EQ(FailureText(fine), "");
}

TEST(Results, ShowTheMembersOfAnEnsembleAndNameTheProtocols) {
  v1::Job job;
  job.mutable_spec()->mutable_validate()->set_ensemble("wbf");
  v1::ValResult& val = *job.mutable_result()->mutable_val();
  val.set_images(4);
  val.mutable_metrics()->set_map50(0.9);
  val.mutable_metrics_classic()->set_map50(0.8);
  EXPECT_THAT(ResultText(job), ::testing::ContainsRegex("protocol 8.4: +mAP50 0.9000.*\nprotocol 8.1: +mAP50 0.8000"));
  EXPECT_THAT(ResultText(job), Not(HasSubstr("COCO")));
  EXPECT_THAT(ResultText(job), Not(HasSubstr("together")));

  val.mutable_coco()->set_ap(0.625);
  val.mutable_coco()->set_ar_large(-1);
  v1::MemberResult& member = *val.add_members();
  member.set_model("/runs/a.pt");
  member.set_weight(2.5);
  member.mutable_metrics()->set_map5095(0.5);
  val.add_members()->set_model("/runs/b.pt");
  const std::string text = ResultText(job);
  EXPECT_THAT(text, ::testing::ContainsRegex("protocol COCO: AP 0.6250 .* large -1.0000"));
  EXPECT_THAT(text, ::testing::ContainsRegex("MODEL +WEIGHT +P +R +MAP50 +MAP50-95\n"
                                             "/runs/a.pt +2.5 +0.000 +0.000 +0.000 +0.500\n"
                                             "/runs/b.pt +0 .*\n"
                                             "together \\(wbf\\) +0.000 +0.000 +0.900 +0.000\n"));
}

TEST(Tables, AlignAndCut) {
  Table table({"A", "LONGER", "C"});
  table.Add({"ä", "x", "the last column"});
  EXPECT_EQ(table.Format(1000), "A  LONGER  C\nä  x       the last column\n");
  EXPECT_EQ(table.Format(16), "A  LONGER  C\nä  x       the ~\n");
  EXPECT_EQ(Cut("äöü", 2), "ä~");
}

TEST(Tables, Jobs) {
  v1::Job job = FailedJob();
  job.mutable_progress()->set_epoch(3);
  job.mutable_progress()->set_epochs(100);
  const std::string text = JobTable({job}, absl::FromUnixSeconds(1000 + 180), false, 1000);
  EXPECT_THAT(text, HasSubstr("ID "));
  EXPECT_THAT(text, ::testing::ContainsRegex("abc +yes +train +FAILED .* 3/100 epochs +3m +rank 1 was killed"));
}

TEST(Devices, TableAndChoices) {
  v1::ListDevicesResponse answer;
  v1::Device& gpu = *answer.add_devices();
  gpu.set_kind(v1::Device::GPU);
  gpu.set_name("NVIDIA GeForce RTX 4090");
  gpu.set_state(v1::Device::LEASED);
  gpu.set_holder("jobs/abc");
  gpu.set_utilization_percent(97);
  gpu.set_memory_total_bytes(int64_t{24} << 30);
  v1::DeviceChoice& custom = *answer.add_choices();
  custom.set_label("Custom...");
  EXPECT_THAT(DeviceTable({gpu}, false, 1000), ::testing::ContainsRegex("0 +GPU +NVIDIA GeForce RTX 4090 +LEASED +abc +97 % +24.0 GiB +-"));
  EXPECT_THAT(ChoiceTable(answer), HasSubstr("Custom...  device=..."));
}

TEST(Logs, LinesOfRanksDoNotMix) {
  std::vector<std::string> seen;
  LogLines lines([&](int, int rank, const std::string& line) { seen.push_back(std::to_string(rank) + ":" + line); });
  auto add = [&](int rank, const std::string& data) {
    v1::TailLogsResponse::Chunk chunk;
    chunk.set_rank(rank);
    chunk.set_data(data);
    lines.Add(chunk);
  };
  add(0, "one\ntw");
  add(1, "other\n\n");
  add(0, "o\nrest");
  EXPECT_THAT(seen, ElementsAre("0:one", "1:other", "1:", "0:two"));
  lines.Flush();
  EXPECT_EQ(seen.back(), "0:rest");
  lines.Flush();
  EXPECT_EQ(seen.size(), 5u);
}

v1::Event EventOf(const std::string& type, const std::vector<std::pair<std::string, double>>& fields) {
  v1::Event event;
  event.set_type(type);
  for (const auto& [name, value] : fields) (*event.mutable_fields()->mutable_fields())[name].set_number_value(value);
  return event;
}

TEST(ProgressLine, LinesAloneWhereThereIsNoTerminal) {
  std::ostringstream out;
  {
    Progress progress(out, Terminal(false, false, 1000));
    progress.Event(EventOf("step", {{"epoch", 1}, {"iteration", 2}, {"iterations", 4}}), absl::UnixEpoch());
    progress.Line("a line");
    progress.Event(EventOf("epoch", {{"epoch", 1}, {"epochs", 3}, {"map50", 0.5}}), absl::UnixEpoch());
  }
  EXPECT_EQ(out.str(), "a line\n");
}

TEST(ProgressLine, ABarThatStaysBelowTheLines) {
  std::ostringstream out;
  {
    Progress progress(out, Terminal(true, false, 60));
    progress.Event(EventOf("step", {{"epoch", 1}, {"iteration", 1}, {"iterations", 4}}), absl::UnixEpoch());
    progress.Line("a line");
  }
  EXPECT_THAT(out.str(), HasSubstr("[#####...............] 1/4"));
  EXPECT_THAT(out.str(), HasSubstr("\r\x1b[Ka line\n"));
  EXPECT_TRUE(out.str().ends_with("\r\x1b[K")) << "nothing stays behind";
  const v1::Event step = EventOf("step", {{"epoch", 1}, {"iteration", 1}, {"iterations", 4}});
  EXPECT_THAT(BarLine(step, absl::Seconds(10), 1000), HasSubstr("ETA 30s"));
  EXPECT_EQ(DisplayWidth(BarLine(step, absl::Seconds(10), 30)), 29u);
}

TEST(Filter, WordsBecomeTheApisFilter) {
  EXPECT_EQ(*JobFilter({}), "");
  EXPECT_EQ(*JobFilter({"state=running"}), "state = RUNNING");
  EXPECT_EQ(*JobFilter({"state=QUEUED,HELD", "owner=ann"}), "state = QUEUED OR state = HELD AND owner = \"ann\"");
  EXPECT_EQ(*JobFilter({"name=a\"b"}), "display_name = \"a\\\"b\"");
  EXPECT_EQ(*JobFilter({"owner = \"ann\""}), "owner = \"ann\"");
  EXPECT_THAT(std::string(JobFilter({"state=RUNING"}).status().message()), HasSubstr("RUNNING"));
  EXPECT_THAT(std::string(JobFilter({"stat=RUNNING"}).status().message()), HasSubstr("did you mean 'state'"));
  EXPECT_FALSE(JobFilter({"RUNNING"}).ok());
}

TEST(Durations, AsPeopleWriteThem) {
  EXPECT_EQ(*ParseDuration("--grace", "10s"), absl::Seconds(10));
  EXPECT_EQ(*ParseDuration("--grace", "1m30s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("--grace", "2.5"), absl::Seconds(2.5));
  EXPECT_EQ(*ParseDuration("--grace", "2d"), absl::Hours(48));
  EXPECT_EQ(*ParseDuration("--grace", "1d12h30m"), absl::Hours(36) + absl::Minutes(30));
  EXPECT_EQ(*ParseDuration("--grace", "1.5d"), absl::Hours(36));
  EXPECT_FALSE(ParseDuration("--grace", "-1s").ok());
  for (const char* bad : {"-1d", "d", "1d2d", "1h1d", "1d-1h", "1day"})
    EXPECT_FALSE(ParseDuration("--grace", bad).ok()) << bad;
  EXPECT_FALSE(ParseDuration("--grace", "soon").ok());
  for (const char* long_one : {"99999999999999h", "inf", "1e300", "1e300d", "infd", "nand"})
    EXPECT_FALSE(ParseDuration("--grace", long_one).ok()) << long_one;
  EXPECT_EQ(ShortDuration(absl::Hours(50)), "2d");
}

TEST(Completion, VerbsKeysValuesAndIds) {
  Shell shell;
  CLI::App app("", "yoke");
  AddTrain(app, shell);
  AddJob(app, shell);
  AddLogs(app, shell);
  AddComplete(app, shell);
  int asked = 0;
  auto ids = [&asked] {
    ++asked;
    return std::vector<std::string>{"abc", "abd", "xyz"};
  };
  EXPECT_THAT(Candidates(app, {""}, ids), ElementsAre("train", "job", "logs"));
  EXPECT_THAT(Candidates(app, {"tr"}, ids), ElementsAre("train"));
  EXPECT_THAT(Candidates(app, {"train", "ep"}, ids), ElementsAre("epochs="));
  EXPECT_THAT(Candidates(app, {"train", "epochs=3", "ep"}, ids), ElementsAre());
  EXPECT_THAT(Candidates(app, {"train", "optimizer=A"}, ids), ElementsAre("optimizer=Adam", "optimizer=AdamW", "optimizer=Adamax"));
  EXPECT_THAT(Candidates(app, {"train", "cos_lr="}, ids), ElementsAre("cos_lr=True", "cos_lr=False"));
  EXPECT_THAT(Candidates(app, {"train", "data="}, ids), ElementsAre());
  EXPECT_THAT(Candidates(app, {"train", "--dry"}, ids), ElementsAre("--dry-run"));
  EXPECT_EQ(asked, 0) << "the server is asked only for ids";
  EXPECT_THAT(Candidates(app, {"job", "c"}, ids), ElementsAre("cancel"));
  EXPECT_THAT(Candidates(app, {"job", "show", "ab"}, ids), ElementsAre("abc", "abd"));
  EXPECT_THAT(Candidates(app, {"logs", "x"}, ids), ElementsAre("xyz"));
}

}  // namespace
}  // namespace yoke::cli
