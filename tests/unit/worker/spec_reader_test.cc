#include "server/worker/spec_reader.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/worker/proto_text.h"

namespace yoke::worker {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Everything that the reader makes of a job, as text: two jobs that differ have different texts.
class Text {
 public:
  template <typename... T>
  void Add(const T&... values) {
    ((out_ << values << '|'), ...);
  }
  template <typename T>
  void AddList(const std::vector<T>& values) {
    for (const T& value : values) out_ << value << ',';
    out_ << '|';
  }
  void AddTrain(const engine::TrainConfig& c) {
    Add(c.model, c.data, c.run_dir, c.cache_dir, c.resume, c.epochs, c.batch, c.imgsz, c.workers,
        c.patience, c.optimizer, c.lr0, c.lrf, c.momentum, c.weight_decay, c.warmup_epochs,
        c.warmup_momentum, c.warmup_bias_lr, c.box, c.cls, c.dfl, c.nbs, c.close_mosaic, c.cos_lr,
        c.rect, c.multi_scale, c.single_cls, c.fraction, c.time_hours, c.seed, c.deterministic,
        c.amp, c.sync_bn, c.cache, c.save_period, c.val, c.iou, c.max_det, c.cls_pw, c.recipe_name,
        c.on_bad_label, c.pretrained, c.cls_remap, c.plots, c.cuda_graphs, c.nvjpeg);
    AddList(c.freeze_layers);
    const engine::RecipeConfig& r = c.recipe;
    Add(r.tal_floor, r.box_bias, r.fresh_var, r.warmup_floor, r.warmup_cap, r.lr_lag,
        r.accumulate_cap, r.zero_grad, r.fitness_map50, r.best_on_tie, r.close_short,
        r.fraction_random, r.freeze_bn, r.max_det_auto, r.lr_bias_first, r.auto_long);
    const engine::AugmentConfig& a = c.augment;
    Add(a.hsv_h, a.hsv_s, a.hsv_v, a.degrees, a.translate, a.scale, a.shear, a.perspective,
        a.flipud, a.fliplr, a.bgr, a.mosaic, a.mosaic_tiles, a.mixup, a.cutmix, a.copy_paste,
        a.copy_paste_mode, a.hsv_additive, a.mosaic_recent, a.polygon_clip, a.label_half_pixel);
  }
  void AddEnsemble(const engine::EnsembleConfig& c) {
    Add(c.method, c.iou);
    AddList(c.weights);
  }
  void operator()(const engine::TrainConfig& c) { AddTrain(c); }
  void operator()(const engine::ValConfig& c) {
    AddList(c.models);
    AddEnsemble(c.ensemble);
    Add(c.data, c.split, c.batch, c.imgsz, c.conf, c.iou, c.max_det, c.rect, c.single_cls,
        c.save_json, c.plots, c.workers, c.amp, c.nvjpeg, c.on_bad_label);
  }
  void operator()(const engine::LabelConfig& c) {
    AddList(c.models);
    AddList(c.sources);
    AddList(c.classes);
    AddEnsemble(c.ensemble);
    Add(c.out, c.batch, c.imgsz, c.conf, c.iou, c.max_det, c.save_conf, c.agnostic_nms, c.overwrite,
        c.workers, c.amp, c.nvjpeg);
  }
  void operator()(const ProcessJob& job) {
    const engine::ProcessConfig& c = job.process;
    Add(c.source, c.out, c.train, c.val, c.test, c.seed, c.link, c.on_bad_label);
    AddList(c.names);
    if (job.train) AddTrain(*job.train);
  }
  void operator()(const engine::ExportConfig& c) {
    Add(c.model, c.format, c.out, c.imgsz, c.batch, c.dynamic, c.nms, c.conf, c.iou, c.max_det,
        c.agnostic_nms, c.half, c.opset);
  }
  void operator()(const SelftestJob& job) { Add(job.epochs, job.batch, job.imgsz); }
  std::string str() const { return out_.str(); }

 private:
  std::ostringstream out_;
};

class SpecReader : public ::testing::Test {
 protected:
  static ipc::AttemptSpec Attempt(const std::string& task, json message, int ranks = 1) {
    ipc::AttemptSpec attempt;
    attempt.run_dir = "/run";
    attempt.cache_dir = "/cache";
    for (int i = 0; i < ranks; ++i) attempt.ranks.push_back({{"cpu:" + std::to_string(i)}, 1});
    attempt.spec = {{"device", "0"}, {task, std::move(message)}};
    return attempt;
  }
  json Resolved(const std::string& message) const {
    json resolved = ResolvedMessage(messages_.at(message));
    for (const char* required : {"data", "out"}) {
      if (messages_.at(message).contains(required))
        resolved[required] = std::string("/some/where/") + required;
    }
    if (messages_.at(message).contains("source") && message == "ProcessSpec")
      resolved["source"] = "/raw";
    if (message == "ValidateSpec") resolved["model"] = {"/best.pt"};
    if (message == "ExportSpec") resolved["model"] = "/best.pt";
    if (message == "LabelSpec") {
      resolved["model"] = {"/best.pt"};
      resolved["source"] = {"/photos"};
    }
    return resolved;
  }
  static std::string Read(const ipc::AttemptSpec& attempt) {
    const absl::StatusOr<Job> job = ReadJob(attempt);
    EXPECT_TRUE(job.ok()) << job.status();
    if (!job.ok()) return std::string(job.status().message());
    Text text;
    std::visit(text, job->task);
    return text.str();
  }
  static std::string Refusal(const ipc::AttemptSpec& attempt) {
    const absl::StatusOr<Job> job = ReadJob(attempt);
    EXPECT_TRUE(absl::IsInvalidArgument(job.status())) << job.status();
    return std::string(job.status().message());
  }

  const std::map<std::string, std::map<std::string, ProtoField>> messages_ =
      ReadProtoMessages(YOKE_SPEC_PROTO);
  const std::vector<std::pair<std::string, std::string>> tasks_ = {
      {"train", "TrainSpec"},     {"validate", "ValidateSpec"}, {"label", "LabelSpec"},
      {"process", "ProcessSpec"}, {"selftest", "SelftestSpec"}, {"export", "ExportSpec"}};
};

TEST_F(SpecReader, KnowsEveryTaskOfTheProto) {
  std::set<std::string> fields;
  for (const auto& [name, field] : messages_.at("JobSpec")) fields.insert(name);
  EXPECT_THAT(fields,
              ElementsAre("device", "export", "label", "process", "selftest", "train", "validate"));
}

TEST_F(SpecReader, ReadsEachFieldOfEachMessageIntoTheConfiguration) {
  for (const auto& [task, message] : tasks_) {
    const json resolved = Resolved(message);
    const std::string before = Read(Attempt(task, resolved));
    ASSERT_GE(messages_.at(message).size(), 3u);
    for (const auto& [name, field] : messages_.at(message)) {
      SCOPED_TRACE(message + "." + name);
      json changed = resolved;
      changed[name] = name == "train" ? Resolved("TrainSpec") : OtherValue(name, field);
      const std::string after = Read(Attempt(task, changed));
      // The preset is resolved into `train`.
      if (name == "preset") continue;
      EXPECT_NE(before, after);
    }
  }
}

TEST_F(SpecReader, RefusesAFieldItDoesNotKnow) {
  for (const auto& [task, message] : tasks_) {
    json resolved = Resolved(message);
    resolved["colour"] = 1;
    EXPECT_THAT(Refusal(Attempt(task, resolved)), HasSubstr(task + ".colour is not known"));
  }
}

TEST_F(SpecReader, NamesAFieldThatIsMissingOrMistyped) {
  json train = Resolved("TrainSpec");
  train.erase("epochs");
  EXPECT_THAT(Refusal(Attempt("train", train)), HasSubstr("train.epochs is missing"));
  train["epochs"] = "many";
  EXPECT_THAT(Refusal(Attempt("train", train)), HasSubstr("train.epochs must be a whole number"));
  train["epochs"] = 3;
  train["lr0"] = "NaN";
  EXPECT_THAT(Refusal(Attempt("train", train)), HasSubstr("train.lr0 must be a number"));
  train["lr0"] = 0.01;
  train["val"] = 1;
  EXPECT_THAT(Refusal(Attempt("train", train)), HasSubstr("train.val must be true or false"));
  EXPECT_THAT(Refusal(Attempt("nothing", json::object())), HasSubstr("spec.nothing is not known"));
}

TEST_F(SpecReader, Takes64BitNumbersAsProtobufWritesThem) {
  json train = Resolved("TrainSpec");
  train["seed"] = "9007199254740993";
  const absl::StatusOr<Job> job = ReadJob(Attempt("train", train));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(std::get<engine::TrainConfig>(job->task).seed, 9007199254740993u);
}

TEST_F(SpecReader, RoundsTheImageSizeUpAndSaysSo) {
  json train = Resolved("TrainSpec");
  train["imgsz"] = 70;
  const absl::StatusOr<Job> job = ReadJob(Attempt("train", train));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(std::get<engine::TrainConfig>(job->task).imgsz, 96);
  EXPECT_THAT(job->warnings, ElementsAre(HasSubstr("rounded up to 96")));
}

TEST_F(SpecReader, TakesTheWordsOfTheReferenceForPrecisionAndCache) {
  const std::map<std::string, std::string> amps = {
      {"auto", "auto"}, {"true", "auto"}, {"false", "off"}, {"bf16", "bf16"}, {"fp16", "fp16"}};
  for (const auto& [word, want] : amps) {
    json train = Resolved("TrainSpec");
    train["amp"] = word;
    const absl::StatusOr<Job> job = ReadJob(Attempt("train", train));
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(std::get<engine::TrainConfig>(job->task).amp, want) << word;
  }
  const std::map<std::string, std::string> caches = {
      {"false", "off"}, {"true", "ram"}, {"ram", "ram"}, {"disk", "disk"}};
  for (const auto& [word, want] : caches) {
    json train = Resolved("TrainSpec");
    train["cache"] = word;
    const absl::StatusOr<Job> job = ReadJob(Attempt("train", train));
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ(std::get<engine::TrainConfig>(job->task).cache, want) << word;
  }
}

TEST_F(SpecReader, FreezesTheFirstLayersAndThoseListed) {
  json train = Resolved("TrainSpec");
  train["freeze"] = 2;
  train["freeze_layers"] = {1, 7};
  const absl::StatusOr<Job> job = ReadJob(Attempt("train", train));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(std::get<engine::TrainConfig>(job->task).freeze_layers, ElementsAre(0, 1, 7));
}

TEST_F(SpecReader, LeavesABatchToBeFoundOnTheDevices) {
  json train = Resolved("TrainSpec");
  train["batch"] = -1;
  const absl::StatusOr<Job> job = ReadJob(Attempt("train", train, 2));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(std::get<engine::TrainConfig>(job->task).batch, -1);
}

TEST_F(SpecReader, RefusesABatchThatTheRanksCannotShare) {
  json train = Resolved("TrainSpec");
  train["batch"] = 5;
  EXPECT_THAT(Refusal(Attempt("train", train, 2)), HasSubstr("train.batch is 5"));
}

TEST_F(SpecReader, ContinuesWhereTheDaemonSaysRatherThanWhereTheUserDid) {
  json train = Resolved("TrainSpec");
  train["resume"] = "abc123";
  ipc::AttemptSpec attempt = Attempt("train", train);
  attempt.resume_from = "/jobs/abc123/run";
  const absl::StatusOr<Job> job = ReadJob(attempt);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(std::get<engine::TrainConfig>(job->task).resume, "/jobs/abc123/run");
}

}  // namespace
}  // namespace yoke::worker
