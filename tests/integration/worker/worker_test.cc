// yoke-worker as a process, on a few drawn images.
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/os/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/data/shapes/shapes.h"
#include "tests/integration/worker/attempt.h"
#include "tests/support/temp_folder.h"

namespace yoke::worker {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

class Worker : public ::testing::Test {
 protected:
  // A data set, and weights that know its classes, for all tests.
  static void SetUpTestSuite() {
    shared_ = std::make_unique<TempFolder>();
    ASSERT_TRUE(engine::WriteShapes(
                    {.out = SharedPath("set"), .train = 16, .val = 8, .size = 64, .classes = 3})
                    .ok());
    Attempt attempt(SharedPath("first"), {"cpu:0"});
    attempt.SetTask("train", Train());
    attempt.StartRanks();
    ASSERT_THAT(attempt.Wait(), ElementsAre(0)) << attempt.Log(0);
    first_result_ = attempt.Result();
    first_log_ = attempt.Log(0);
    for (const ipc::ParsedEvent& event : attempt.Events(0)) first_types_.insert(event.type);
  }
  static void TearDownTestSuite() { shared_.reset(); }

  static std::string SharedPath(const std::string& name) { return shared_->path() + "/" + name; }
  static std::string Weights() { return SharedPath("first/run/weights/best.pt"); }
  static json Train(const json& changes = json::object()) {
    json keys = {{"data", SharedPath("set/data.yaml")},
                 {"model", "yolov8n.yaml"},
                 {"epochs", 1},
                 {"batch", 8},
                 {"imgsz", 64},
                 {"workers", 1}};
    keys.update(changes);
    return Attempt::Resolved("TrainSpec", keys);
  }
  std::string At(const std::string& name) const { return folder_.path() + "/" + name; }

  static std::unique_ptr<TempFolder> shared_;
  static json first_result_;
  static std::string first_log_;
  static std::set<std::string> first_types_;
  TempFolder folder_;
};

std::unique_ptr<TempFolder> Worker::shared_;
json Worker::first_result_;
std::string Worker::first_log_;
std::set<std::string> Worker::first_types_;

TEST_F(Worker, TrainsOnOneRankAndTellsBannerEpochsAndResult) {
  EXPECT_THAT(first_types_,
              IsSupersetOf({"banner", "phase", "step", "epoch", "checkpoint", "result"}));
  EXPECT_THAT(first_log_, HasSubstr("CPU devices: 1\n"));
  EXPECT_THAT(first_log_, HasSubstr("Batch per device: 8\n"));
  EXPECT_THAT(first_log_, HasSubstr("1/1"));
  const json train = first_result_["train"];
  EXPECT_EQ(train["epochs"], 1);
  EXPECT_EQ(train["worldSize"], 1);
  EXPECT_EQ(train["batchPerRank"], 8);
  EXPECT_EQ(train["runDir"], SharedPath("first/run"));
  EXPECT_GT(train["imagesPerSecond"], 0);
  EXPECT_GT(train["peakRssBytes"], 50 << 20);
  EXPECT_TRUE(train["metrics"]["map50"].is_number());
  for (const char* name : {"weights/best.pt", "weights/last.pt", "results.csv", "args.yaml"}) {
    EXPECT_GT(fs::file_size(SharedPath("first/run/") + name), 0u) << name;
  }
}

TEST_F(Worker, TwoRanksEndWithEqualWeights) {
  Attempt attempt(folder_.path(), {"cpu:0", "cpu:1"});
  attempt.SetTask("train", Train());
  EXPECT_THAT(attempt.Run(), ElementsAre(0, 0)) << attempt.Log(0) << attempt.Log(1);
  const json train = attempt.Result()["train"];
  EXPECT_EQ(train["worldSize"], 2);
  EXPECT_EQ(train["batchPerRank"], 4);
  ASSERT_EQ(train["weightsChecksum"].size(), 2u);
  EXPECT_GT(train["weightsChecksum"][0], 0);
  EXPECT_EQ(train["weightsChecksum"][0], train["weightsChecksum"][1]);
  EXPECT_THAT(attempt.Log(0), HasSubstr("Method: DDP (gloo)"));
  EXPECT_THAT(attempt.Log(1), Not(HasSubstr("Method")));
  EXPECT_TRUE(attempt.Events(1, "epoch").empty());
}

TEST_F(Worker, PrepareAnswersOneObjectAndExitsAsTheJobWould) {
  Attempt attempt(At("good"), {"cpu:0", "cpu:1"});
  attempt.SetTask("train", Train());
  const Attempt::Answer good = attempt.Prepare();
  EXPECT_EQ(good.exit_code, 0) << good.talk;
  ASSERT_TRUE(good.json.is_object());
  EXPECT_EQ(good.json["ok"], true);
  EXPECT_FALSE(fs::exists(attempt.spec.run_dir + "/weights"));

  Attempt bad(At("bad"), {"cpu:0"});
  bad.SetTask("train", Train({{"data", At("nowhere.yaml")}}));
  const Attempt::Answer refused = bad.Prepare();
  EXPECT_EQ(refused.exit_code, ipc::kWorkerBadInput);
  ASSERT_TRUE(refused.json.is_object());
  EXPECT_EQ(refused.json["reason"], "BAD_INPUT");
  EXPECT_THAT(refused.json["message"].get<std::string>(), HasSubstr("nowhere.yaml"));
  EXPECT_THAT(refused.talk, HasSubstr("yoke-worker: "));
}

TEST_F(Worker, OneThatIsAloneLooksAtEverythingFirst) {
  const auto first_phase = [&](const std::string& folder, const std::vector<std::string>& devices,
                               bool prepare) {
    Attempt attempt(At(folder), devices);
    attempt.spec.prepare = prepare;
    attempt.SetTask("train", Train({{"epochs", 1}, {"val", false}}));
    for (const int code : attempt.Run()) EXPECT_EQ(code, 0) << attempt.Log(0);
    const auto phases = attempt.Events(0, "phase");
    return phases.empty() ? "none" : phases[0].fields["phase"].get<std::string>();
  };
  EXPECT_EQ(first_phase("alone", {"cpu:0"}, true), "prepare");
  EXPECT_EQ(first_phase("told", {"cpu:0"}, false), "scan");
  EXPECT_EQ(first_phase("two", {"cpu:0", "cpu:1"}, true), "scan");  // they were prepared for
}

TEST_F(Worker, OneThatIsAloneStopsWhileItLooks) {
  ASSERT_EQ(mkfifo(At("model.pt").c_str(), 0600), 0);  // nobody ever writes to it
  Attempt attempt(folder_.path(), {"cpu:0"});
  attempt.SetTask("train", Train({{"model", At("model.pt")}}));
  attempt.StartRanks();
  ASSERT_TRUE(attempt.Await("phase")) << attempt.Log(0);
  attempt.Signal(0, SIGTERM);
  EXPECT_THAT(attempt.Wait(10), ElementsAre(ipc::kWorkerStopped));
  EXPECT_EQ(attempt.Events(0, "phase").size(), 1u);
}

TEST_F(Worker, OneThatIsAloneWarnsOfWhatItsLookFound) {
  fs::copy(SharedPath("set"), At("set"), fs::copy_options::recursive);
  fs::remove(At("set/labels/train/00003.txt"));
  Attempt attempt(folder_.path(), {"cpu:0"});
  attempt.SetTask("train", Train({{"data", At("set/data.yaml")}, {"epochs", 1}, {"val", false}}));
  EXPECT_THAT(attempt.Run(), ElementsAre(0)) << attempt.Log(0);
  const auto warnings = attempt.Events(0, "warning");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0].fields["message"].get<std::string>(),
              HasSubstr("1 of 16 images of train have no label file"));
}

TEST_F(Worker, ARankThatIsGivenBadInputSaysSoInItsEvents) {
  fs::copy(SharedPath("set"), At("set"), fs::copy_options::recursive);
  ASSERT_TRUE(os::AtomicWriteFile(At("set/labels/train/00003.txt"), "9 0.5 0.5 0.1 0.1\n").ok());
  Attempt attempt(folder_.path(), {"cpu:0"});
  attempt.SetTask("train", Train({{"data", At("set/data.yaml")}}));
  EXPECT_THAT(attempt.Run(), ElementsAre(ipc::kWorkerBadInput));
  const auto errors = attempt.Events(0, "error");
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_EQ(errors[0].fields["reason"], "BAD_INPUT");
  EXPECT_THAT(errors[0].fields["message"].get<std::string>(), HasSubstr("00003.txt:1:"));
  EXPECT_THAT(attempt.Log(0), HasSubstr("yoke-worker: "));
  EXPECT_EQ(attempt.Events(0, "phase").size(), 1u);  // found before the training began
}

TEST_F(Worker, ValidatesOnTwoRanksAsOnOne) {
  std::vector<json> results;
  for (const std::vector<std::string>& devices :
       {std::vector<std::string>{"cpu:0"}, {"cpu:0", "cpu:1"}}) {
    Attempt attempt(At(std::to_string(devices.size())), devices);
    attempt.SetTask("validate", Attempt::Resolved("ValidateSpec", {{"model", {Weights()}},
                                                                   {"data", SharedPath("set")},
                                                                   {"batch", 4},
                                                                   {"imgsz", 64},
                                                                   {"workers", 1}}));
    EXPECT_THAT(attempt.Run(), Each(0)) << attempt.Log(0);
    results.push_back(attempt.Result()["val"]);
  }
  EXPECT_EQ(results[0]["images"], 8);
  EXPECT_EQ(results[0]["perClass"].size(), 3u);
  EXPECT_TRUE(results[0]["metricsClassic"]["map50"].is_number());
  EXPECT_NEAR(results[0]["metrics"]["map50"].get<double>(),
              results[1]["metrics"]["map50"].get<double>(), 1e-3);
  EXPECT_EQ(results[1]["instances"], results[0]["instances"]);
}

TEST_F(Worker, LabelsAFolderOnTwoRanks) {
  Attempt attempt(folder_.path(), {"cpu:0", "cpu:1"});
  attempt.SetTask("label",
                  Attempt::Resolved("LabelSpec", {{"model", {Weights()}},
                                                  {"source", {SharedPath("set/images/val")}},
                                                  {"out", At("labels")},
                                                  {"conf", 0.01},
                                                  {"imgsz", 64},
                                                  {"workers", 1}}));
  EXPECT_THAT(attempt.Run(), ElementsAre(0, 0)) << attempt.Log(0) << attempt.Log(1);
  const json label = attempt.Result()["label"];
  EXPECT_EQ(label["images"], 8);
  EXPECT_EQ(label["failed"], 0);
  EXPECT_EQ(label["labelled"].get<int>() + label["empty"].get<int>(), 8);
  EXPECT_EQ(label["outDir"], At("labels"));
  EXPECT_TRUE(fs::exists(At("labels/00000.txt")));
}

TEST_F(Worker, StopsOnSigtermWithItsWeightsAndContinuesAtTheNextEpoch) {
  Attempt attempt(At("first"), {"cpu:0", "cpu:1"});
  attempt.SetTask("train", Train({{"epochs", 500}}));
  attempt.StartRanks();
  ASSERT_TRUE(attempt.Await("epoch")) << attempt.Log(0);
  for (const int rank : {0, 1, 0, 1}) attempt.Signal(rank, SIGTERM);
  EXPECT_THAT(attempt.Wait(20), Each(ipc::kWorkerStopped)) << attempt.Log(0) << attempt.Log(1);
  EXPECT_GT(fs::file_size(At("first/run/weights/last.pt")), 0u);
  const int done = attempt.Result()["train"]["epochs"];
  ASSERT_GE(done, 1);
  ASSERT_LT(done, 500);

  Attempt next(At("second"), {"cpu:0"});
  next.SetTask("train", Train({{"epochs", done + 1}}));
  next.spec.resume_from = At("first/run");
  EXPECT_THAT(next.Run(), ElementsAre(0)) << next.Log(0);
  const auto epochs = next.Events(0, "epoch");
  ASSERT_EQ(epochs.size(), 1u);
  EXPECT_EQ(epochs[0].fields["epoch"], done + 1);
}

TEST_F(Worker, ARankWhosePeerNeverComesStopsAtOnce) {
  Attempt attempt(folder_.path(), {"cpu:0", "cpu:1"});
  attempt.SetTask("train", Train());
  attempt.StartRanks(1);
  ASSERT_TRUE(attempt.Await("banner"));
  attempt.Signal(0, SIGTERM);
  EXPECT_THAT(attempt.Wait(5), ElementsAre(ipc::kWorkerStopped)) << attempt.Log(0);
}

TEST_F(Worker, ARankThatLosesItsPeerEndsByItself) {
  Attempt attempt(folder_.path(), {"cpu:0", "cpu:1"});
  attempt.SetTask("train", Train({{"epochs", 500}}));
  attempt.StartRanks();
  ASSERT_TRUE(attempt.Await("epoch")) << attempt.Log(0);
  attempt.Signal(1, SIGKILL);
  EXPECT_THAT(attempt.Wait(20), ElementsAre(ipc::kWorkerError, -SIGKILL));
  const auto errors = attempt.Events(0, "error");
  ASSERT_EQ(errors.size(), 1u) << attempt.Log(0);
  EXPECT_EQ(errors[0].fields["reason"], "RANK_FAILED") << attempt.Log(0);
}

TEST_F(Worker, MakesADataSetTrainsOnItAndDoesNotMakeItAgainInARetry) {
  fs::create_directory(At("raw"));
  for (const char* part : {"images", "labels"}) {
    fs::copy(SharedPath(std::string("set/") + part + "/train"), At("raw"),
             fs::copy_options::recursive);
  }
  json train = Train();
  train["data"] = At("set/data.yaml");
  const json process = Attempt::Resolved(
      "ProcessSpec",
      {{"source", At("raw")}, {"out", At("set")}, {"names", {"a", "b", "c"}}, {"train", train}});
  Attempt attempt(folder_.path(), {"cpu:0", "cpu:1"});
  attempt.SetTask("process", process);
  EXPECT_EQ(attempt.Prepare().exit_code, 0);
  EXPECT_THAT(attempt.Run(), ElementsAre(0, 0)) << attempt.Log(0) << attempt.Log(1);
  const json result = attempt.Result();
  EXPECT_EQ(result["process"]["images"], 16);
  EXPECT_EQ(result["process"]["dataYaml"], At("set/data.yaml"));
  EXPECT_EQ(result["train"]["worldSize"], 2);

  Attempt retry(folder_.path(), {"cpu:0"});
  retry.spec.attempt = 2;
  retry.spec.attempt_dir = At("attempt2");
  retry.SetTask("process", process);
  EXPECT_EQ(retry.Prepare().exit_code, 0);
  EXPECT_THAT(retry.Run(), ElementsAre(0)) << retry.Log(0);
  EXPECT_EQ(retry.Result()["process"]["images"], 16);
  EXPECT_THAT(retry.Log(0), HasSubstr("made by an earlier attempt"));
}

TEST_F(Worker, PassesItsSelftest) {
  Attempt attempt(folder_.path(), {"cpu:0", "cpu:1"});
  attempt.SetTask("selftest", Attempt::Resolved("SelftestSpec", {{"epochs", 1}, {"imgsz", 64}}));
  EXPECT_THAT(attempt.Run(), ElementsAre(0, 0)) << attempt.Log(0) << attempt.Log(1);
  const json selftest = attempt.Result()["selftest"];
  EXPECT_EQ(selftest["passed"], true);
  EXPECT_GE(selftest["checks"].size(), 4u);
}

TEST_F(Worker, NeverComputesOnTheCpuForAGpu) {
  if (fs::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has a driver";
  Attempt attempt(folder_.path(), {"GPU-1"});
  attempt.spec.backend = "nccl";
  attempt.SetTask("train", Train());
  EXPECT_THAT(attempt.Run(), ElementsAre(ipc::kWorkerCudaUnavailable)) << attempt.Log(0);
  ASSERT_EQ(attempt.Events(0, "error").size(), 1u);
  EXPECT_EQ(attempt.Events(0, "error")[0].fields["reason"], "CUDA_UNAVAILABLE");
}

}  // namespace
}  // namespace yoke::worker
