// Every bad input is found before a rank is started, and named by file and line.
#include "server/worker/prepare.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "common/os/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/engine/checkpoint/state.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/data/shapes/shapes.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/formats/archive_builder.h"
#include "tests/unit/label/finder.h"
#include "tests/unit/worker/proto_text.h"

namespace yoke::worker {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class PrepareJob : public ::testing::Test {
 protected:
  PrepareJob() {
    const absl::Status drawn =
        engine::WriteShapes({.out = At("set"), .train = 6, .val = 3, .size = 64, .classes = 2});
    EXPECT_TRUE(drawn.ok()) << drawn;
  }
  std::string At(const std::string& name) const { return folder_.path() + "/" + name; }
  std::string Write(const std::string& name, const std::string& bytes) const {
    EXPECT_TRUE(os::MakeDirs(os::FolderOf(At(name))).ok());
    EXPECT_TRUE(os::AtomicWriteFile(At(name), bytes).ok());
    return At(name);
  }
  json Defaults(const std::string& message) const { return ResolvedMessage(messages_.at(message)); }
  json Train() const {
    json train = Defaults("TrainSpec");
    train["data"] = At("set/data.yaml");
    train["model"] = "yolov8n.yaml";
    return train;
  }
  absl::StatusOr<Prepared> Run(const std::string& task, const json& message) const {
    ipc::AttemptSpec attempt;
    attempt.attempt_dir = At("attempt");
    attempt.run_dir = At("run");
    attempt.cache_dir = At("cache");
    attempt.ranks = {{{"cpu:0"}, 1}, {{"cpu:1"}, 1}};
    attempt.device_words = {"CPU slot 0", "CPU slot 1"};
    attempt.spec = {{"device", "0,1"}, {task, message}};
    return Prepare(attempt);
  }
  // The message of a refusal as bad input.
  std::string Refusal(const std::string& task, const json& message) const {
    const json answer = PrepareAnswer(Run(task, message));
    EXPECT_EQ(answer["ok"], false);
    EXPECT_EQ(answer.value("reason", ""), "BAD_INPUT");
    return answer.value("message", "");
  }
  std::string DataRefusal(const std::string& data) const {
    json train = Train();
    train["data"] = data;
    return Refusal("train", train);
  }
  std::string LabelRefusal(const std::string& row) const {
    const std::string label =
        Write("set/labels/train/00000.txt", "0 0.5 0.5 0.2 0.2\n" + row + "\n");
    const std::string message = DataRefusal(At("set/data.yaml"));
    EXPECT_THAT(message, HasSubstr(label + ":2:"));
    return message;
  }
  std::string ModelRefusal(const std::string& model) const {
    json train = Train();
    train["model"] = model;
    return Refusal("train", train);
  }

  TempFolder folder_;
  const std::map<std::string, std::map<std::string, ProtoField>> messages_ =
      ReadProtoMessages(YOKE_SPEC_PROTO);
};

TEST_F(PrepareJob, AnswersWithTheBannerAndLeavesTheScanForTheRanks) {
  const json answer = PrepareAnswer(Run("train", Train()));
  EXPECT_EQ(answer["ok"], true) << answer;
  EXPECT_THAT(answer["banner"], Contains("Total batch: 16"));
  EXPECT_THAT(answer["banner"], Contains("Batch per device: 8"));
  EXPECT_THAT(answer["banner"], Contains("Method: DDP (gloo)"));
  EXPECT_THAT(answer["warnings"], IsEmpty());
  EXPECT_FALSE(fs::is_empty(At("cache")));
  EXPECT_FALSE(fs::exists(At("run")));
}

TEST_F(PrepareJob, RefusesADescriptionThatIsMissingOrNamesNoClasses) {
  EXPECT_THAT(DataRefusal(At("nowhere.yaml")), HasSubstr("nowhere.yaml"));
  EXPECT_THAT(DataRefusal(Write("set/unnamed.yaml", "train: images/train\nval: images/val\n")),
              AllOf(HasSubstr("unnamed.yaml"), HasSubstr("names")));
  EXPECT_THAT(DataRefusal(Write("set/mangled.yaml", "train: [images\n")),
              HasSubstr("mangled.yaml:"));
  EXPECT_THAT(DataRefusal(Write("set/half.yaml", "train: images/train\nnames: [a, b]\n")),
              HasSubstr("no 'val:'"));
}

TEST_F(PrepareJob, RefusesAFolderWithoutImages) {
  fs::create_directories(At("set/images/none"));
  EXPECT_THAT(
      DataRefusal(Write("set/empty.yaml", "train: images/none\nval: images/val\nnames: [a, b]\n")),
      HasSubstr("images/none"));
}

TEST_F(PrepareJob, NamesFileAndLineOfABadLabel) {
  EXPECT_THAT(LabelRefusal("7 0.5 0.5 0.1 0.1"), HasSubstr("7"));
  EXPECT_THAT(LabelRefusal("0 nan 0.5 0.1 0.1"), HasSubstr("nan"));
  EXPECT_THAT(LabelRefusal("0 0.5 0.5 0.1 0.1 0.9"), HasSubstr("6"));
  EXPECT_THAT(LabelRefusal("0 1.5 0.5 0.1 0.1"), HasSubstr("1.5"));
  EXPECT_THAT(LabelRefusal("0 -0.5 0.5 0.1 0.1"), HasSubstr("-0.5"));
}

TEST_F(PrepareJob, SkipsABadLabelWhenAskedToAndSaysSo) {
  Write("set/labels/train/00000.txt", "7 0.5 0.5 0.1 0.1\n");
  json train = Train();
  train["on_bad_label"] = "skip";
  const json answer = PrepareAnswer(Run("train", train));
  EXPECT_EQ(answer["ok"], true) << answer;
  EXPECT_THAT(answer["warnings"], Contains(HasSubstr("00000.txt:1:")));
}

TEST_F(PrepareJob, WarnsOfImagesThatCannotBeReadOrHaveNoLabels) {
  Write("set/images/train/00001.jpg", "this is no image");
  fs::remove(At("set/labels/train/00002.txt"));
  const json answer = PrepareAnswer(Run("train", Train()));
  EXPECT_EQ(answer["ok"], true) << answer;
  EXPECT_THAT(answer["warnings"], Contains(HasSubstr("00001.jpg")));
  EXPECT_THAT(answer["warnings"],
              Contains("1 of 5 images of train have no label file and count as background"));
}

TEST_F(PrepareJob, RefusesWeightsThatCannotBeUsed) {
  EXPECT_THAT(ModelRefusal(At("missing.pt")),
              AllOf(HasSubstr("missing.pt"), HasSubstr("put the weights there")));
  EXPECT_THAT(ModelRefusal(Write("plain.pt", std::string(400, 'x'))), HasSubstr("plain.pt"));
  const std::string evil = formats::BuildZip(
      {{"archive/data.pkl", std::string("\x80\x02") + "cos\nsystem\nX" +
                                std::string("\x10\0\0\0", 4) + "touch /tmp/yoked!\x85R."},
       {"archive/version", "3\n"}});
  EXPECT_THAT(ModelRefusal(Write("evil.pt", evil)),
              AllOf(HasSubstr("evil.pt"), HasSubstr("os.system")));
  EXPECT_THAT(ModelRefusal(Write("cut.pt", evil.substr(0, evil.size() - 30))), HasSubstr("cut.pt"));
  EXPECT_THAT(ModelRefusal(Write("notes.txt", "x")), HasSubstr("is no model"));
}

TEST_F(PrepareJob, RefusesWeightsWithAClassNameTwice) {
  auto model = *engine::DetectionModel::Create({'n', 3});
  engine::Weights weights{.spec = model->spec(), .names = {"circle", "Circle", "square"}};
  for (auto& item : model->named_parameters()) weights.state[item.key()] = item.value().detach();
  for (auto& item : model->named_buffers()) weights.state[item.key()] = item.value();
  ASSERT_TRUE(engine::WriteWeights(At("twice.pt"), weights).ok());
  EXPECT_THAT(ModelRefusal(At("twice.pt")),
              AllOf(HasSubstr("twice.pt"), HasSubstr("'circle' stands twice"),
                    HasSubstr("cls_remap=False")));
}

TEST_F(PrepareJob, RefusesToResumeOnOtherClasses) {
  engine::TrainState state;
  state.numbers["epochs_done"] = 1;
  state.strings["names"] = R"(["circle", "oblong"])";
  fs::create_directories(At("old"));
  ASSERT_TRUE(engine::SaveState(At("old/checkpoints"), state).ok());
  json train = Train();
  train["resume"] = At("old");
  EXPECT_THAT(Refusal("train", train), HasSubstr("class 1 was 'oblong' and is 'square'"));
}

TEST_F(PrepareJob, SaysWhatARunThatIsContinuedWasTrainedWith) {
  engine::TrainState state;
  state.numbers["epochs_done"] = 1;
  state.strings["names"] = R"(["circle", "square"])";
  fs::create_directories(At("old"));
  ASSERT_TRUE(engine::SaveState(At("old/checkpoints"), state).ok());
  Write("old/args.yaml", "epochs: 3\nlr0: 0.5\nbatch: 16\nsave_dir: /there\nfreeze: [0, 1]\n");
  Write("old/recipe.yaml", "tal_floor: 7\n");
  json train = Train();
  train["resume"] = At("old");
  const std::string warnings = PrepareAnswer(Run("train", train))["warnings"].dump();
  EXPECT_THAT(
      warnings,
      AllOf(HasSubstr("epochs is 3 there, 100 here; "), HasSubstr("lr0 is 0.5 there, 0.01 here"),
            HasSubstr("freeze is [0, 1] there, ~ here"), HasSubstr("tal_floor is 7 there")));
  EXPECT_THAT(warnings, Not(HasSubstr("batch is")));
}

TEST_F(PrepareJob, ChecksTheClassesOfModelsThatAreMeasuredOrLabelTogether) {
  engine::WriteFinder(At("other.pt"), true, {"x", "y"});
  engine::WriteFinder(At("circles.pt"), true, {"circle", "x"});
  engine::WriteFinder(At("twice.pt"), true, {"circle", "Circle"});
  json val = Defaults("ValidateSpec");
  val["data"] = At("set/data.yaml");
  val["model"] = {At("other.pt")};
  const json renamed = PrepareAnswer(Run("validate", val));
  EXPECT_EQ(renamed["ok"], true) << renamed;
  EXPECT_THAT(renamed["warnings"], Contains(HasSubstr("taken by class number")));
  val["model"] = {At("twice.pt")};
  EXPECT_THAT(Refusal("validate", val), AllOf(HasSubstr("twice.pt"), HasSubstr("data.yaml")));
  val["model"] = {At("circles.pt"), At("other.pt")};
  EXPECT_EQ(PrepareAnswer(Run("validate", val))["ok"], true);
  val["weights"] = {0.0, 0.0};
  EXPECT_THAT(Refusal("validate", val), HasSubstr("weights"));

  json label = Defaults("LabelSpec");
  label["source"] = {At("set/images/val")};
  label["out"] = At("labels");
  engine::WriteFinder(At("cats.pt"), true);
  label["model"] = {At("circles.pt"), At("cats.pt")};
  EXPECT_THAT(Refusal("label", label), AllOf(HasSubstr("circles.pt"), HasSubstr("cats.pt")));
}

TEST_F(PrepareJob, LooksForTheImagesAndTheWeightsOfALabelling) {
  json label = Defaults("LabelSpec");
  label["source"] = {At("set/images")};
  label["out"] = At("labels");
  label["model"] = {At("missing.pt")};
  EXPECT_THAT(Refusal("label", label), HasSubstr("missing.pt"));
  label["model"] = {Write("plain.pt", "x")};
  label["source"] = {At("nowhere")};
  EXPECT_THAT(Refusal("label", label), HasSubstr("nowhere: no such folder"));
}

TEST_F(PrepareJob, LooksAtTheClassesOfALabelling) {
  json label = Defaults("LabelSpec");
  label["source"] = {At("set/images/val")};
  label["out"] = At("labels");
  engine::WriteFinder(At("finder.pt"), true);
  label["model"] = {At("finder.pt")};
  EXPECT_EQ(PrepareAnswer(Run("label", label))["ok"], true);
  label["classes"] = {99};
  EXPECT_THAT(Refusal("label", label), HasSubstr("classes: 99 is no class of"));
  label.erase("classes");
  Write("labels/classes.txt", "horse\n");
  EXPECT_THAT(Refusal("label", label), HasSubstr("labels/classes.txt lists other classes"));
}

TEST_F(PrepareJob, WarnsOfASourceWithoutLabels) {
  json process = Defaults("ProcessSpec");
  process["source"] = At("set/images/val");
  process["out"] = At("out");
  EXPECT_THAT(PrepareAnswer(Run("process", process))["warnings"].dump(),
              HasSubstr("have no label file and count as background; a model trained"));
}

TEST_F(PrepareJob, LooksForTheWeightsAndTheFileOfAnExport) {
  json exported = Defaults("ExportSpec");
  exported["model"] = Write("plain.pt", "x");
  EXPECT_THAT(Refusal("export", exported), HasSubstr("plain.pt"));
  exported["out"] = At("set");
  EXPECT_THAT(Refusal("export", exported), HasSubstr("set is a folder; name the file"));
  exported["out"] = At("set/data.yaml/model.onnx");
  EXPECT_THAT(Refusal("export", exported), HasSubstr("data.yaml is a file where a folder"));
  exported["out"] = At("new/model.onnx");
  exported["model"] = At("missing.pt");
  EXPECT_THAT(Refusal("export", exported), HasSubstr("missing.pt"));
}

TEST_F(PrepareJob, RefusesToMakeADataSetWhereSomethingLies) {
  json process = Defaults("ProcessSpec");
  process["source"] = At("set");
  process["out"] = At("out");
  EXPECT_EQ(PrepareAnswer(Run("process", process))["ok"], true);
  Write("out/mine.txt", "x");
  EXPECT_THAT(Refusal("process", process), HasSubstr("is not empty"));
  process["out"] = At("out/mine.txt/set");
  EXPECT_THAT(Refusal("process", process), HasSubstr("mine.txt is a file"));
  process["source"] = At("nowhere");
  EXPECT_THAT(Refusal("process", process), HasSubstr("nowhere"));
}

TEST_F(PrepareJob, RefusesAFolderItMayNotWriteTo) {
  fs::create_directory(At("denied"));
  fs::permissions(At("denied"), fs::perms::owner_read | fs::perms::owner_exec);
  json process = Defaults("ProcessSpec");
  process["source"] = At("set");
  process["out"] = At("denied/set");
  if (geteuid() != 0) {
    EXPECT_THAT(Refusal("process", process), HasSubstr("cannot write to " + At("denied")));
    return;
  }
  // Root may write anywhere, so somebody else asks. The folder above is opened to them.
  fs::permissions(folder_.path(), fs::perms::all);
  const pid_t child = fork();
  if (child == 0) {
    if (seteuid(65534) != 0) _exit(2);
    const absl::StatusOr<Prepared> prepared = Run("process", process);
    _exit(absl::IsPermissionDenied(prepared.status()) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(PrepareJob, NeverFallsBackFromAGpuToTheCpu) {
  ipc::AttemptSpec attempt;
  attempt.run_dir = At("run");
  attempt.cache_dir = At("cache");
  attempt.ranks = {{{"GPU-1"}, 1}};
  attempt.spec = {{"device", "0"}, {"train", Train()}};
  const json answer = PrepareAnswer(Prepare(attempt));
  if (fs::exists("/dev/nvidiactl")) GTEST_SKIP() << "this machine has a driver";
  EXPECT_EQ(answer["ok"], false);
  EXPECT_EQ(answer["reason"], "CUDA_UNAVAILABLE");
}

}  // namespace
}  // namespace yoke::worker
