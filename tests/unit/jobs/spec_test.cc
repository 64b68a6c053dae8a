#include "server/jobs/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace yoke::jobs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

v1::JobSpec Train() {
  v1::JobSpec spec;
  spec.mutable_train()->set_data("/d.yaml");
  return spec;
}

TEST(Spec, FillsDefaultsAndRemembersWhatTheUserSet) {
  v1::JobSpec asked = Train();
  asked.mutable_train()->set_batch(8);
  const ResolvedSpec resolved = Resolve(asked);
  EXPECT_THAT(resolved.violations, IsEmpty());
  EXPECT_EQ(resolved.spec.train().epochs(), 100);
  EXPECT_EQ(resolved.spec.train().batch(), 8);
  EXPECT_EQ(resolved.spec.train().momentum(), 0.937);
  EXPECT_EQ(resolved.spec.train().model(), "yolov8n.pt");
  EXPECT_EQ(resolved.spec.device(), "auto");
  EXPECT_THAT(resolved.user_set, ElementsAre("data", "batch"));
}

TEST(Spec, RefusesWhatIsOutOfRangeUnknownOrMissing) {
  v1::JobSpec asked;
  asked.mutable_train()->set_epochs(0);
  asked.mutable_train()->set_optimizer("Lion");
  asked.mutable_train()->set_lr0(std::numeric_limits<double>::quiet_NaN());
  const ResolvedSpec resolved = Resolve(asked);
  ASSERT_EQ(resolved.violations.size(), 4u);
  EXPECT_EQ(resolved.violations[0].field, "train.data");
  EXPECT_THAT(resolved.violations[0].description, HasSubstr("data= is missing"));
  EXPECT_EQ(resolved.violations[1].description, "epochs=0 is out of range; it takes 1 to 100000");
  EXPECT_EQ(resolved.violations[2].description,
            "optimizer=Lion is not known; it takes auto, SGD, MuSGD, Adam, AdamW, Adamax, NAdam, "
            "RAdam, RMSProp");
  EXPECT_EQ(resolved.violations[3].field, "train.lr0");
}

TEST(Spec, TheRecipeFillsWhatIsNotGivenByItself) {
  v1::JobSpec asked = Train();
  EXPECT_EQ(Resolve(asked).spec.train().tal_floor(), 0);
  EXPECT_TRUE(Resolve(asked).spec.train().lr_lag());
  asked.mutable_train()->set_recipe("modern");
  asked.mutable_train()->set_warmup_floor(50);
  const v1::TrainSpec modern = Resolve(asked).spec.train();
  EXPECT_EQ(modern.tal_floor(), 16);
  EXPECT_FALSE(modern.lr_lag());
  EXPECT_EQ(modern.fitness_map50(), 0);
  EXPECT_EQ(modern.auto_long(), "MuSGD");
  EXPECT_EQ(modern.warmup_floor(), 50);
  EXPECT_EQ(modern.momentum(), 0.937) << "what no recipe changes";
}

// The violation that `set` makes of a training that is fine without.
std::string Contradiction(void (*set)(v1::TrainSpec&)) {
  v1::JobSpec asked = Train();
  set(*asked.mutable_train());
  const ResolvedSpec resolved = Resolve(asked);
  return resolved.violations.size() == 1 ? resolved.violations[0].description : "";
}

TEST(Spec, KeysThatContradictEachOtherAreRefused) {
  EXPECT_THAT(Contradiction([](v1::TrainSpec& t) { t.set_val(false), t.set_patience(5); }),
              HasSubstr("needs a fitness to watch"));
  EXPECT_THAT(Contradiction([](v1::TrainSpec& t) { t.set_rect(true), t.set_mosaic(1); }),
              HasSubstr("needs square batches"));
  EXPECT_THAT(Contradiction([](v1::TrainSpec& t) { t.set_rect(true), t.set_multi_scale(0.5); }),
              HasSubstr("drop one"));
  EXPECT_THAT(Contradiction([](v1::TrainSpec& t) { t.set_freeze(3), t.add_freeze_layers(5); }),
              HasSubstr("both given"));
  EXPECT_THAT(Contradiction([](v1::TrainSpec& t) { t.set_mosaic_tiles(5); }),
              HasSubstr("it takes 4 or 9"));
  EXPECT_THAT(Contradiction([](v1::TrainSpec& t) { t.set_batch(0); }), HasSubstr("or -1"));
  EXPECT_EQ(
      Contradiction([](v1::TrainSpec& t) { t.set_batch(-1), t.set_val(false), t.set_rect(true); }),
      "");
}

TEST(Spec, KeysThatDoNothingAreNamed) {
  v1::JobSpec asked = Train();
  asked.mutable_train()->set_time(1);
  asked.mutable_train()->set_epochs(10);
  asked.mutable_train()->set_copy_paste_mode("mixup");
  EXPECT_THAT(Resolve(asked).warnings,
              ElementsAre(HasSubstr("not epochs=10"), HasSubstr("without copy_paste")));
}

TEST(Spec, AnEnsembleHasAWeightForEachModel) {
  v1::JobSpec asked;
  asked.mutable_validate()->set_data("/d.yaml");
  asked.mutable_validate()->add_model("/a.pt");
  asked.mutable_validate()->add_model("/b.pt");
  EXPECT_THAT(Resolve(asked).violations, IsEmpty());
  asked.mutable_validate()->add_weights(1);
  EXPECT_THAT(Resolve(asked).violations[0].description, HasSubstr("1 numbers for 2 models"));
  asked.mutable_validate()->mutable_weights()->Clear();
  asked.mutable_validate()->mutable_weights()->Resize(2, 0);
  EXPECT_THAT(Resolve(asked).violations[0].description, HasSubstr("at least one model must count"));
}

TEST(Spec, AnExportRefusesKeysOfAnotherFormat) {
  v1::JobSpec asked;
  asked.mutable_export_()->set_model("/a.pt");
  asked.mutable_export_()->set_half(true);
  EXPECT_THAT(Resolve(asked).violations[0].description, HasSubstr("belongs to format=safetensors"));
  asked.mutable_export_()->set_format("safetensors");
  EXPECT_THAT(Resolve(asked).violations, IsEmpty());
  asked.mutable_export_()->set_nms(true);
  EXPECT_THAT(Resolve(asked).violations[0].description, HasSubstr("belongs to format=onnx"));
}

TEST(Spec, TheNameOfAnExportedFileSaysItsFormat) {
  v1::JobSpec asked;
  asked.mutable_export_()->set_model("/a.pt");
  asked.mutable_export_()->set_out("/b.safetensors");
  EXPECT_EQ(Resolve(asked).spec.export_().format(), "safetensors");
  EXPECT_THAT(Resolve(asked).violations, IsEmpty());
  asked.mutable_export_()->set_format("onnx");
  EXPECT_THAT(Resolve(asked).violations[0].description,
              HasSubstr("is named like another format than format=onnx"));
  asked.mutable_export_()->set_format("safetensors");
  asked.mutable_export_()->set_out("/b.onnx");
  EXPECT_THAT(Resolve(asked).violations[0].description, HasSubstr("is named like another format"));
}

TEST(Spec, ANameOfNoTaskIsRefused) { EXPECT_EQ(Resolve(v1::JobSpec()).violations.size(), 1u); }

TEST(Spec, RoundsTheImageSizeUpAndSaysSo) {
  v1::JobSpec asked = Train();
  asked.mutable_train()->set_imgsz(650);
  const ResolvedSpec resolved = Resolve(asked);
  EXPECT_EQ(resolved.spec.train().imgsz(), 672);
  EXPECT_THAT(resolved.warnings,
              ElementsAre("imgsz=650 is not a multiple of 32; rounded up to 672"));
}

TEST(Spec, TheRecommendedPresetFillsOnlyWhatIsNotSet) {
  v1::JobSpec asked;
  asked.mutable_process()->set_source("/raw");
  asked.mutable_process()->set_out("/set");
  asked.mutable_process()->set_preset("recommended");
  asked.mutable_process()->mutable_train()->set_epochs(7);
  const v1::TrainSpec train = Resolve(asked).spec.process().train();
  EXPECT_EQ(train.model(), "yolov8x.pt");
  EXPECT_EQ(train.epochs(), 7);
  EXPECT_EQ(train.batch(), 64);
  EXPECT_EQ(train.imgsz(), 640);
  EXPECT_EQ(train.workers(), 8);
  EXPECT_EQ(train.patience(), 50);
  EXPECT_EQ(train.lr0(), 0.01);
}

TEST(Spec, SharesOfASplitAddUpToOne) {
  v1::JobSpec asked;
  asked.mutable_process()->set_source("/raw");
  asked.mutable_process()->set_out("/set");
  EXPECT_THAT(Resolve(asked).violations, IsEmpty());
  asked.mutable_process()->add_split(0.8);
  asked.mutable_process()->add_split(0.3);
  EXPECT_EQ(Resolve(asked).violations.size(), 1u);
}

TEST(Spec, ABatchThatTheDevicesCannotShareNamesTheNearest) {
  v1::JobSpec spec = Resolve(Train()).spec;
  spec.mutable_train()->set_batch(50);
  ASSERT_EQ(CheckForWorldSize(spec, 4).size(), 1u);
  EXPECT_THAT(CheckForWorldSize(spec, 4)[0].description, HasSubstr("48 and 52"));
  spec.mutable_train()->set_batch(2);
  EXPECT_THAT(CheckForWorldSize(spec, 4)[0].description,
              HasSubstr("smaller than the number of devices (4)"));
  spec.mutable_train()->set_batch(64);
  EXPECT_THAT(CheckForWorldSize(spec, 4), IsEmpty());
}

TEST(Spec, TheBannerSaysDevicesBatchAndMethod) {
  v1::JobSpec spec = Resolve(Train()).spec;
  spec.mutable_train()->set_batch(64);
  EXPECT_THAT(Banner(spec, {"GPU 0: A", "GPU 1: A", "GPU 2: A", "GPU 3: A"}, true),
              ElementsAre("GPUs: 4", "Devices: GPU 0: A, GPU 1: A, GPU 2: A, GPU 3: A",
                          "Total batch: 64", "Batch per device: 16", "Method: DDP (NCCL)"));
}

TEST(Spec, JsonIsThatOfProtobufWithProtoNamesAndEveryValue) {
  std::vector<v1::JobSpec> specs(4);
  specs[0] = Train();
  specs[0].mutable_train()->add_freeze_layers(3);
  specs[0].mutable_train()->set_lr0(1e-7);
  specs[1].mutable_validate()->add_model("/a.pt");
  specs[1].mutable_validate()->add_weights(0.1);
  specs[2].mutable_process()->set_source("/a \"folder\" of Zoë");
  specs[2].mutable_process()->add_names("cat");
  *specs[2].mutable_process()->mutable_train() = Train().train();
  specs[3].mutable_label()->add_classes(7);
  for (const v1::JobSpec& asked : specs) {
    const v1::JobSpec spec = Resolve(asked).spec;
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    options.always_print_primitive_fields = true;
    std::string expected;
    ASSERT_TRUE(google::protobuf::util::MessageToJsonString(spec, &expected, options).ok());
    const nlohmann::json json = SpecJson(spec);
    EXPECT_EQ(json, nlohmann::json::parse(expected));
    v1::JobSpec back;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json.dump(), &back).ok());
    EXPECT_EQ(back.SerializeAsString(), spec.SerializeAsString());
  }
}

std::optional<formats::StepMemory> Nothing(const formats::StepMemoryKind&) { return std::nullopt; }

TEST(Spec, AdviceNamesABatchThatFits) {
  v1::JobSpec spec = Resolve(Train()).spec;
  spec.mutable_train()->set_model("/w/yolov8x.pt");
  spec.mutable_train()->set_batch(64);
  EXPECT_THAT(Advice(spec, 4, {true, int64_t{24} << 30}, Nothing),
              ElementsAre("YOLOv8x, batch 64 on 4 GPUs: about 12 GB each (estimate)"));
  EXPECT_EQ(Advice(spec, 4, {true, int64_t{8} << 30}, Nothing).size(), 2u);
}

TEST(Spec, AdviceIsWhatWasMeasuredIfSomethingWas) {
  std::map<std::string, formats::StepMemory> known;
  const MeasuredMemory measured =
      [&](const formats::StepMemoryKind& kind) -> std::optional<formats::StepMemory> {
    const std::string asked =
        absl::StrCat(std::string(1, kind.scale), " ", kind.side, " ", kind.device, " ", kind.amp);
    return known.contains(asked) ? std::optional(known[asked]) : std::nullopt;
  };
  v1::JobSpec spec = Resolve(Train()).spec;
  spec.mutable_train()->set_model("yolov8n.pt");
  spec.mutable_train()->set_batch(64);
  const RankMemory machine = {false, int64_t{16} << 30};
  EXPECT_THAT(Advice(spec, 2, machine, measured), IsEmpty()) << "nothing is known of CPUs";
  known["n 640 cpu auto"] = {1 << 30, 1 << 29};
  EXPECT_THAT(
      Advice(spec, 2, machine, measured),
      ElementsAre("YOLOv8n, batch 64 on 2 CPU devices: about 17 GB each (as measured by batch=-1)",
                  "that is more than the 16 GB of memory that a rank can have here; batch=60 "
                  "should fit, or a smaller imgsz or model"));
  spec.mutable_train()->set_batch(16);
  EXPECT_THAT(
      Advice(spec, 2, machine, measured),
      ElementsAre(
          "YOLOv8n, batch 16 on 2 CPU devices: about 5.0 GB each (as measured by batch=-1)"));
  // CUDA takes half a GiB for itself.
  known["n 640 cuda24564 auto"] = {1 << 30, 1 << 29};
  EXPECT_THAT(
      Advice(spec, 2, {true, int64_t{24564} << 20}, measured),
      ElementsAre("YOLOv8n, batch 16 on 2 GPUs: about 5.5 GB each (as measured by batch=-1)"));
}

}  // namespace
}  // namespace yoke::jobs
