#include "server/jobs/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/protobuf/util/json_util.h"

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
  EXPECT_EQ(resolved.violations[2].description, "optimizer=Lion is not known; it takes auto, SGD, Adam, AdamW");
  EXPECT_EQ(resolved.violations[3].field, "train.lr0");
}

TEST(Spec, ANameOfNoTaskIsRefused) { EXPECT_EQ(Resolve(v1::JobSpec()).violations.size(), 1u); }

TEST(Spec, RoundsTheImageSizeUpAndSaysSo) {
  v1::JobSpec asked = Train();
  asked.mutable_train()->set_imgsz(650);
  const ResolvedSpec resolved = Resolve(asked);
  EXPECT_EQ(resolved.spec.train().imgsz(), 672);
  EXPECT_THAT(resolved.warnings, ElementsAre("imgsz=650 is not a multiple of 32; rounded up to 672"));
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
  EXPECT_THAT(CheckForWorldSize(spec, 4)[0].description, HasSubstr("smaller than the number of devices (4)"));
  spec.mutable_train()->set_batch(64);
  EXPECT_THAT(CheckForWorldSize(spec, 4), IsEmpty());
}

TEST(Spec, TheBannerSaysDevicesBatchAndMethod) {
  v1::JobSpec spec = Resolve(Train()).spec;
  spec.mutable_train()->set_batch(64);
  EXPECT_THAT(Banner(spec, {"GPU 0: A", "GPU 1: A", "GPU 2: A", "GPU 3: A"}, true),
              ElementsAre("GPUs: 4", "Devices: GPU 0: A, GPU 1: A, GPU 2: A, GPU 3: A", "Total batch: 64", "Batch per device: 16", "Method: DDP (NCCL)"));
}

TEST(Spec, JsonHasProtoNamesAndEveryValueAndReadsBack) {
  const v1::JobSpec spec = Resolve(Train()).spec;
  const std::string json = SpecJson(spec);
  for (const char* key : {"\"close_mosaic\"", "\"weight_decay\"", "\"cos_lr\":false", "\"degrees\":0"}) EXPECT_THAT(json, HasSubstr(key));
  v1::JobSpec back;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json, &back).ok());
  EXPECT_EQ(back.SerializeAsString(), spec.SerializeAsString());
}

TEST(Spec, AdviceNamesABatchThatFits) {
  v1::JobSpec spec = Resolve(Train()).spec;
  spec.mutable_train()->set_model("/w/yolov8x.pt");
  spec.mutable_train()->set_batch(64);
  EXPECT_THAT(Advice(spec, 4, int64_t{24} << 30), ElementsAre("YOLOv8x, batch 64 on 4 GPUs: about 12 GB each (estimate)"));
  EXPECT_EQ(Advice(spec, 4, int64_t{8} << 30).size(), 2u);
}

}  // namespace
}  // namespace yoke::jobs
