// What the engine tells the outside while it works. The worker turns these into events.jsonl and
// log lines; tests record them. The engine never prints.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace yoke::engine {

struct StepReport {
  int epoch = 0;           // 1-based
  int64_t iteration = 0;   // forward/backward passes done in this epoch, 1-based
  int64_t iterations = 0;  // in this epoch
  double box_loss = 0, cls_loss = 0, dfl_loss = 0;  // running means of this epoch, after gains
  double lr = 0;                                    // of the weights' group
  double images_per_second = 0;
  int64_t instances = 0;                        // ground-truth boxes in this batch
  int image_size = 0;                           // px
  std::map<std::string, double> stage_seconds;  // where this attempt's time went so far
};

struct DetectionMetrics {
  double precision = 0, recall = 0, map50 = 0, map5095 = 0, fitness = 0;
};

struct ClassMetrics {
  int class_id = 0;
  std::string name;
  int64_t images = 0, instances = 0;
  double precision = 0, recall = 0, map50 = 0, map5095 = 0;
};

struct EpochReport {
  int epoch = 0, epochs = 0;  // 1-based
  double box_loss = 0, cls_loss = 0, dfl_loss = 0;
  double val_box_loss = 0, val_cls_loss = 0, val_dfl_loss = 0;
  DetectionMetrics metrics;
  std::vector<double> lr;                       // per parameter group, in results.csv's order
  double seconds = 0;                           // since the training began
  double images_per_second = 0;                 // training only
  std::map<std::string, double> stage_seconds;  // where this attempt's time went so far
};

struct CheckpointReport {
  int epoch = 0;
  std::string path;  // absolute
  std::string kind;  // "best", "last", "state"
};

// Called from the thread that runs the task, in order. Only rank 0 reports steps, epochs and
// metrics; every rank reports phases and iterations, by which a rank that hangs is found.
class Observer {
 public:
  virtual ~Observer() = default;
  // "scan", "load", "train", "val", "save", "label", "process", "export"
  virtual void OnPhase(const std::string& phase) {}
  // On every rank, at the same points: before it computes on the images of a training iteration, and before each round
  // of validation or labelling.
  virtual void OnIteration() {}
  virtual void OnBanner(const std::vector<std::string>& lines) {}
  virtual void OnStep(const StepReport&) {}
  virtual void OnEpoch(const EpochReport&) {}
  virtual void OnCheckpoint(const CheckpointReport&) {}
  virtual void OnProgress(int64_t done, int64_t total, const std::string& unit) {
  }  // val, label, scan
  virtual void OnWarning(const std::string& sentence) {}
  virtual void OnLog(const std::string& line) {}  // a line for people
};

// Asked between iterations; true once the job should stop. Ranks agree on it, see distributed/.
class StopSignal {
 public:
  virtual ~StopSignal() = default;
  virtual bool requested() const { return false; }
};

}  // namespace yoke::engine
