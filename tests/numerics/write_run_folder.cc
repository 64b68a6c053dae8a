// write_run_folder DIR: writes what a training leaves in its run folder, of made-up numbers that
// inputs.json there repeats. run_folder_test.py reads it back.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "nlohmann/json.hpp"
#include "server/engine/plots/run_plots.h"
#include "server/engine/plots/utf8.h"
#include "server/engine/train/run_folder.h"
#include "server/engine/train/tensorboard_file.h"
#include "server/worker/event_observer.h"

namespace yoke::engine {
namespace {

using nlohmann::json;

constexpr int kEpochs = 5;
// Two of one name, one that is no UTF-8, one without a name.
const std::vector<std::string> kNames = {"person",   "Łódź/猫", "person",
                                         "bad \xFF", "",        "stop sign (all)"};

EpochReport ReportOf(int epoch) {
  EpochReport report;
  report.epoch = epoch;
  report.epochs = kEpochs;
  report.box_loss = 1.23456789 / epoch;
  report.cls_loss = 1234.56789 / epoch;
  report.dfl_loss = 0.000123456 / epoch;
  report.val_box_loss = 2.0 / 3 / epoch;
  report.val_cls_loss = epoch * 1e7;
  report.val_dfl_loss = epoch == 3 ? std::numeric_limits<double>::quiet_NaN() : 5e-7 * epoch;
  report.metrics = {0.1 * epoch, 1.0 / epoch, 0.123456 * epoch, 0.07 * epoch, 0.07 * epoch};
  report.lr = {0.01 / epoch, 1.23456789e-5 * epoch, 0.0};
  report.seconds = 12.3456789 * epoch;
  report.images_per_second = 100.0 / 3;
  return report;
}

std::vector<ClassMetrics> ClassesOf(int epoch) {
  std::vector<ClassMetrics> classes;
  for (size_t i = 0; i < kNames.size(); ++i) {
    ClassMetrics& one = classes.emplace_back();
    one.class_id = static_cast<int>(i);
    one.name = kNames[i];
    one.instances = 10 * static_cast<int64_t>(i + 1);
    one.map50 = 0.1 * static_cast<double>(i) + 0.01 * epoch;
    one.map5095 = one.map50 / 2;
  }
  return classes;
}

// Precision rises with the confidence until nothing is found any more; recall falls to none there.
Curves CurvesOf() {
  Curves curves;
  for (size_t i = 0; i < kNames.size(); ++i) {
    ClassCurve& curve = curves.classes.emplace_back();
    curve.class_id = static_cast<int>(i);
    curve.name = kNames[i];
    const float top = 0.5f + 0.08f * static_cast<float>(i);  // the highest confidence
    for (size_t k = 0; k < kCurvePoints; ++k) {
      const float x = static_cast<float>(k) / (kCurvePoints - 1);
      curve.precision.push_back(x > top ? 1 : 0.4f + 0.6f * x);
      curve.recall.push_back(x > top ? 0 : 1 - x / top);
      curve.f1.push_back(0.5f);
      curve.precision_at_recall.push_back(1 - x);
    }
  }
  return curves;
}

Batch BatchOf() {
  Batch batch;
  batch.count = 4;
  batch.width = batch.height = 64;
  batch.images.resize(4);
  for (size_t i = 0; i < size_t{4} * 3 * 64 * 64; ++i)
    batch.pixels.push_back(static_cast<uint8_t>(i % 251));
  batch.labels = {{0, 1, 0.5f, 0.5f, 0.4f, 0.4f}, {3, 0, 0.2f, 0.3f, 0.2f, 0.1f}};
  return batch;
}

TrainConfig ConfigOf(const std::string& run_dir) {
  TrainConfig config;
  config.model = "yolov8n.yaml";
  config.data = "/data/set \xFF.yaml";
  config.run_dir = run_dir;
  config.epochs = kEpochs;
  config.cos_lr = true;
  config.weight_decay = 0.00025;
  config.freeze_layers = {0, 1, 7};
  return config;
}

json InputsOf() {
  json inputs;
  for (int epoch = 1; epoch <= kEpochs; ++epoch) {
    for (const ClassMetrics& one : ClassesOf(epoch)) {
      inputs["classes"].push_back({{"epoch", epoch},
                                   {"id", one.class_id},
                                   {"name", ValidUtf8(one.name)},
                                   {"instances", one.instances},
                                   {"map50", one.map50},
                                   {"map5095", one.map5095}});
    }
  }
  for (const ClassCurve& curve : CurvesOf().classes) {
    inputs["curves"].push_back(
        {{"id", curve.class_id}, {"precision", curve.precision}, {"recall", curve.recall}});
  }
  return inputs;
}

absl::Status Write(const std::string& run_dir) {
  const TrainConfig config = ConfigOf(run_dir);
  TensorBoardFile tensorboard(run_dir);
  ResultsFile results(run_dir);
  absl::Status status = WriteArgs(config);
  status.Update(tensorboard.Begin());

  absl::StatusOr<std::unique_ptr<ipc::EventWriter>> events =
      ipc::EventWriter::Open(run_dir + "/events.jsonl", 0);
  if (!events.ok()) return events.status();
  worker::EventObserver observer(*std::move(events), {});

  RunPlots plots(
      {.run_dir = run_dir,
       .names = kNames,
       .epochs = kEpochs,
       .batches_per_epoch = 3,
       .warn = [&](const std::string& warning) { status.Update(absl::InternalError(warning)); },
       .on_picture =
           [&](const Picture& picture) { status.Update(tensorboard.AppendPicture(picture)); }});
  const Batch batch = BatchOf();
  for (int epoch = 1; epoch <= kEpochs; ++epoch) {
    plots.OnTrainBatch(epoch - 1, 0, batch);
    plots.OnValBatch(epoch - 1, 0, batch,
                     {{{4, 4, 40, 40, 0.5f + 0.05f * static_cast<float>(epoch), 1}}});
    const EpochReport report = ReportOf(epoch);
    status.Update(results.Append(report));
    status.Update(tensorboard.Append(report));
    status.Update(tensorboard.AppendClasses(epoch, ClassesOf(epoch)));
    observer.OnEpoch(report);
  }
  plots.Finish(CurvesOf(), ConfusionMatrix());
  status.Update(tensorboard.AppendCurves(kEpochs, CurvesOf(), ClassesOf(kEpochs)));
  status.Update(tensorboard.End(true));
  std::ofstream(run_dir + "/inputs.json") << InputsOf();
  return status;
}

}  // namespace
}  // namespace yoke::engine

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: write_run_folder DIR\n");
    return 2;
  }
  const absl::Status status = yoke::engine::Write(argv[1]);
  if (!status.ok())
    std::fprintf(stderr, "write_run_folder: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
