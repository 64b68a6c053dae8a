// What only an NVIDIA GPU can show; skipped, saying so, where there is none. The CPU is the oracle: it is itself held
// against recorded figures of the reference in tests/numerics.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <thread>

#include "ATen/Context.h"
#include "c10/core/CachingDeviceAllocator.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "server/engine/cuda/cuda_module.h"
#include "server/engine/data/file_bytes.h"
#include "server/engine/data/image.h"
#include "server/engine/data/shapes/shapes.h"
#include "server/engine/distributed/c10d_group.h"
#include "server/engine/distributed/gradient_exchange.h"
#include "server/engine/eval/nms.h"
#include "server/engine/train/memory_gauge.h"
#include "server/engine/train/out_of_memory.h"
#include "server/engine/train/train_step.h"
#include "server/engine/train/trainer.h"
#include "tests/support/temp_folder.h"

namespace yoke::engine {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const at::Device kGpu(at::kCUDA, 0);

class Recorder : public Observer {
 public:
  void OnLog(const std::string& sentence) override { said += sentence + "\n"; }
  void OnWarning(const std::string& sentence) override { warned += sentence + "\n"; }
  std::string said, warned;
};

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::StatusOr<CudaModule*> module = CudaModule::Load();
    if (!module.ok()) GTEST_SKIP() << module.status().message();
    cuda_ = *module;
    if (cuda_->DeviceCount() == 0) GTEST_SKIP() << "the driver shows no device";
    cuda_->SetDevice(0);
    // Products in TF32 are no oracle's business.
    at::globalContext().setAllowTF32CuDNN(false);
    ASSERT_TRUE(WriteShapes({.out = folder_.path() + "/shapes", .train = 32, .val = 8, .size = 128, .classes = 3}).ok());
    config_.model = "yolov8n.yaml";
    config_.data = folder_.path() + "/shapes/data.yaml";
    config_.run_dir = folder_.path() + "/run";
    config_.epochs = 40;
    config_.batch = 8;
    config_.nbs = 16;
    config_.imgsz = 128;
    config_.workers = 1;
    config_.optimizer = "SGD";
    config_.amp = "off";
    config_.plots = false;
  }
  void TearDown() override { at::globalContext().setAllowTF32CuDNN(true); }

  // Iterations of a training, without validation. `watch` is called around each.
  std::vector<FinishedIteration> Iterate(at::Device device, int count, const std::function<void(int iteration, bool begins)>& watch = nullptr) {
    std::vector<FinishedIteration> all;
    const absl::StatusOr<std::shared_ptr<Group>> alone = MakeGroup({});
    absl::StatusOr<TrainingSetup> setup = SetUpTraining(config_, device, **alone, recorder_);
    EXPECT_TRUE(setup.ok()) << setup.status();
    if (!setup.ok()) return all;
    setup->model->train();
    StageClock clock;
    TrainStep step(*setup, device, **alone, recorder_, clock, nullptr);
    const auto drain = [&] {
      for (FinishedIteration& one : step.Drain()) all.push_back(std::move(one));
    };
    int done = 0;
    for (int epoch = 0; done < count; ++epoch) {
      setup->train_loader->StartEpoch(epoch);
      for (int64_t position = 0; done < count; ++position) {
        absl::StatusOr<std::unique_ptr<Batch>> batch = setup->train_loader->Next();
        EXPECT_TRUE(batch.ok()) << batch.status();
        if (!batch.ok() || *batch == nullptr) break;
        if (watch) watch(done, true);
        const absl::StatusOr<Wishes> wishes = step.Run(epoch, position, **batch, Wishes());
        if (watch) watch(done, false);
        EXPECT_TRUE(wishes.ok()) << wishes.status();
        if (!wishes.ok()) return all;
        setup->train_loader->Recycle(*std::move(batch));
        ++done;
        if (step.due()) drain();
      }
    }
    drain();
    return all;
  }

  void ExpectNear(const std::vector<FinishedIteration>& a, const std::vector<FinishedIteration>& b, double relative) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_NEAR(a[i].box, b[i].box, relative * b[i].box) << i;
      EXPECT_NEAR(a[i].cls, b[i].cls, relative * b[i].cls) << i;
      EXPECT_NEAR(a[i].dfl, b[i].dfl, relative * b[i].dfl) << i;
      EXPECT_EQ(a[i].finite, b[i].finite) << i;
    }
  }

  CudaModule* cuda_ = nullptr;
  const TempFolder folder_;
  TrainConfig config_;
  Recorder recorder_;
};

// Float32 in another order of sums; what a step makes of it grows with the steps.
TEST_F(DeviceTest, TrainsLikeTheCpu) { ExpectNear(Iterate(kGpu, 6), Iterate(at::kCPU, 6), 5e-3); }

TEST_F(DeviceTest, ReducedPrecisionTrainsLikeFloat32) {
  const std::vector<FinishedIteration> exact = Iterate(kGpu, 4);
  for (const char* amp : {"bf16", "fp16"}) {
    SCOPED_TRACE(amp);
    config_.amp = amp;
    std::vector<FinishedIteration> reduced = Iterate(kGpu, 4);
    // Float16 leaves out steps until its scale is small enough: of the first, the losses count.
    if (amp == std::string("fp16")) {
      for (FinishedIteration& one : reduced) one.finite = true;
    }
    ExpectNear(reduced, exact, 0.03);
    EXPECT_THAT(recorder_.said, HasSubstr(std::string("precision: ") + amp));
  }
}

TEST_F(DeviceTest, ChoosesItsPrecisionByComparing) {
  config_.amp = "auto";
  Iterate(kGpu, 2);
  EXPECT_THAT(recorder_.said, HasSubstr("chosen by amp=auto (against fp32: "));
  EXPECT_EQ(recorder_.warned, "");
  std::cout << recorder_.said;
}

TEST_F(DeviceTest, NoStepWaitsForTheDevice) {
  for (const char* amp : {"off", "fp16"}) {
    SCOPED_TRACE(amp);
    config_.amp = amp;
    // The first iterations make what is made once.
    const std::vector<FinishedIteration> all = Iterate(kGpu, 16, [&](int iteration, bool begins) { cuda_->ForbidWaiting(begins && iteration >= 4); });
    EXPECT_EQ(all.size(), 16u);
  }
}

TEST_F(DeviceTest, RecordedPassesAreTheSameTraining) {
  for (const char* amp : {"off", "fp16"}) {
    SCOPED_TRACE(amp);
    config_.amp = amp;
    config_.cuda_graphs = false;
    const std::vector<FinishedIteration> plain = Iterate(kGpu, 12);
    config_.cuda_graphs = true;
    ExpectNear(Iterate(kGpu, 12), plain, 1e-2);
    EXPECT_THAT(recorder_.warned, Not(HasSubstr("cuda_graphs")));
  }
}

TEST_F(DeviceTest, GoesOnInPartsWhereMemoryEnds) {
  // All but 1.5 GB is taken: a batch of 32 images at 640 px takes more.
  config_.batch = 32;
  config_.imgsz = 640;
  const int64_t free = MemoryGauge::For(kGpu)->Free();
  const at::Tensor taken = at::empty({free - (int64_t{3} << 29)}, at::TensorOptions(at::kByte).device(kGpu));
  const std::vector<FinishedIteration> all = Iterate(kGpu, 2);
  EXPECT_EQ(all.size(), 2u);
  EXPECT_THAT(recorder_.warned, HasSubstr("out of memory at iteration 1 of epoch 1"));
}

TEST_F(DeviceTest, SuppressesLikeTheCpu) {
  at::Tensor predictions = at::rand({3, 7, 2000});
  predictions.narrow(1, 0, 4).mul_(400);
  predictions.narrow(1, 4, 3).pow_(8);
  predictions[1].narrow(0, 4, 3).zero_();  // an image without candidates
  for (const bool multi_label : {false, true}) {
    NmsOptions options;
    options.multi_label = multi_label;
    const auto there = NonMaxSuppression(predictions.to(kGpu), options), here = NonMaxSuppression(predictions, options);
    ASSERT_EQ(there.size(), here.size());
    EXPECT_GT(here[0].size(), 10u);
    for (size_t i = 0; i < here.size(); ++i) {
      ASSERT_EQ(there[i].size(), here[i].size()) << i;
      for (size_t k = 0; k < here[i].size(); ++k) {
        EXPECT_EQ(there[i][k].class_id, here[i][k].class_id);
        EXPECT_EQ(there[i][k].x1, here[i][k].x1);
        EXPECT_EQ(there[i][k].confidence, here[i][k].confidence);
      }
    }
  }
}

TEST_F(DeviceTest, KnowsItsMemory) {
  const std::unique_ptr<MemoryGauge> gauge = MemoryGauge::For(kGpu);
  gauge->Reset();
  const int64_t before = gauge->Peak(), bytes = int64_t{256} << 20;
  at::empty({bytes}, at::TensorOptions(at::kByte).device(kGpu));
  EXPECT_GE(gauge->Peak() - before, bytes);
  EXPECT_LE(gauge->Free(), cuda_->Memory(0).total_bytes);
  try {
    at::empty({int64_t{1} << 50}, at::TensorOptions(at::kByte).device(kGpu));
    FAIL() << "a petabyte";
  } catch (const std::exception& error) {
    EXPECT_TRUE(IsOutOfMemory(error)) << error.what();
  }
}

// Other arithmetic of the cosine transform, and other colours between two pixels of a halved plane:
// of coco128's photos on an H200 two differ by more than 2 levels in the mean, the most by 2.58.
constexpr double kJpegMeanLevels = 3.0;

TEST_F(DeviceTest, DecodesJpegsLikeTheHost) {
  absl::StatusOr<std::unique_ptr<JpegDecoder>> jpegs = cuda_->MakeJpegDecoder(0);
  if (!jpegs.ok()) GTEST_SKIP() << jpegs.status().message();
  const char* const data = std::getenv("YOKE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "YOKE_TEST_DATA is not set: real photos are not here";
  std::vector<std::string> paths;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(data) + "/coco128/images/train2017"))
    paths.push_back(entry.path());
  ASSERT_GT(paths.size(), 100u);
  // Several threads, as loaders do.
  std::vector<std::thread> threads;
  std::atomic<size_t> next = 0, decoded = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < paths.size(); i = next++) {
        const absl::StatusOr<cv::Mat> here = ReadImage(paths[i]);
        ASSERT_TRUE(here.ok()) << here.status();
        const absl::StatusOr<std::vector<uint8_t>> bytes = ReadFileBytes(paths[i]);
        ASSERT_TRUE(bytes.ok()) << bytes.status();
        cv::Mat there(here->rows, here->cols, CV_8UC3);
        if ((*jpegs)->Decode(bytes->data(), bytes->size(), here->cols, here->rows, there.data))
          ++decoded;
        const absl::StatusOr<cv::Mat> read = ReadImage(paths[i], jpegs->get());
        ASSERT_TRUE(read.ok()) << read.status();
        EXPECT_LT(cv::norm(*here, *read, cv::NORM_L1) / static_cast<double>(here->total() * 3),
                  kJpegMeanLevels)
            << paths[i];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(decoded, paths.size());
  // What is no JPEG, or not all of one, is the host's.
  std::vector<uint8_t> bytes = *ReadFileBytes(paths[0]);
  cv::Mat image = *ReadImage(paths[0]);
  EXPECT_FALSE(
      (*jpegs)->Decode(bytes.data(), bytes.size(), image.cols + 1, image.rows, image.data));
  EXPECT_FALSE((*jpegs)->Decode(bytes.data(), 20, image.cols, image.rows, image.data));
  bytes.resize(bytes.size() / 2);
  EXPECT_FALSE(DecodeImage(bytes, 1 << 30, jpegs->get()).ok());
}

// A rank for each device there is.
TEST_F(DeviceTest, RanksExchangeByNccl) {
  const int ranks = cuda_->DeviceCount();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      cuda_->SetDevice(rank);
      const auto group = C10dGroup::Connect(
          {.rank = rank, .world_size = ranks, .store_path = folder_.path() + "/store", .backend = "nccl", .timeout_seconds = 60});
      ASSERT_TRUE(group.ok()) << group.status();
      const auto options = at::TensorOptions(at::kFloat).device(at::kCUDA, static_cast<c10::DeviceIndex>(rank));
      at::Tensor sum = at::full({3 << 20}, rank + 1.0, options);
      ASSERT_TRUE((*group)->AllReduceSum(sum).ok());
      EXPECT_EQ(sum.min().item<float>(), static_cast<float>(ranks * (ranks + 1) / 2));
      EXPECT_EQ(sum.max().item<float>(), static_cast<float>(ranks * (ranks + 1) / 2));
      at::Tensor told = at::full({5}, rank + 7.0, options);
      ASSERT_TRUE((*group)->Broadcast(told, 0).ok());
      EXPECT_EQ(told.sum().item<float>(), 35);
      // The exchange hooks into the backward pass.
      at::Tensor weight = at::ones({4}, options).set_requires_grad(true);
      at::Tensor gradients = at::zeros({4}, options);
      weight.mutable_grad() = gradients;
      const auto exchange = MakeGradientExchange(gradients, {{weight, 0}}, **group);
      ASSERT_TRUE(exchange.ok()) << exchange.status();
      (*exchange)->Arm();
      (weight * (rank + 1)).sum().backward();
      ASSERT_TRUE((*exchange)->Finish().ok());
      EXPECT_EQ(gradients.sum().item<float>(), static_cast<float>(4 * ranks * (ranks + 1) / 2));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace yoke::engine
