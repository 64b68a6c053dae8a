// Plain configuration of the engine: what to train, validate or label, in the field's own key names.
// Every value is resolved: the engine has no defaults of its own for what a user may set. The worker
// fills these from spec.json; tests fill them by hand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace yoke::engine {

// What follows mirrors the keys of Ultralytics' training configuration; recipe semantics are in train/.
struct AugmentConfig {
  double hsv_h = 0.015, hsv_s = 0.7, hsv_v = 0.4;  // gains, fractions
  double degrees = 0, translate = 0.1, scale = 0.5, shear = 0, perspective = 0;
  double flipud = 0, fliplr = 0.5;  // probabilities
  double mosaic = 1.0, mixup = 0.0;  // probabilities
};

struct TrainConfig {
  std::string model;       // absolute path of a .pt, or "yolov8n.yaml" for scratch
  std::string data;        // absolute path of the data set's YAML
  std::string run_dir;     // absolute; weights/, results.csv, args.yaml and checkpoints/ go here
  std::string cache_dir;   // absolute; label caches, never beside the user's data
  std::string resume;      // a run folder, checkpoint or last.pt to continue from; empty: start afresh
  int epochs = 100;
  int64_t batch = 16;      // images per iteration over all ranks
  int imgsz = 640;         // px, already a multiple of 32
  int workers = 8;         // loader threads per rank
  int patience = 100;      // epochs without a better fitness; 0: never stop early
  std::string optimizer = "auto";  // auto | SGD | Adam | AdamW
  double lr0 = 0.01, lrf = 0.01, momentum = 0.937, weight_decay = 5e-4;
  double warmup_epochs = 3.0, warmup_momentum = 0.8, warmup_bias_lr = 0.1;
  double box = 7.5, cls = 0.5, dfl = 1.5;  // loss gains
  int nbs = 64;
  int close_mosaic = 10;
  bool cos_lr = false;
  bool rect = false;
  bool single_cls = false;
  double fraction = 1.0;
  int64_t freeze = 0;      // first N layers frozen
  uint64_t seed = 0;
  bool deterministic = true;
  std::string amp = "auto";  // auto | off | bf16 | fp16
  std::string cache = "off";  // off | ram
  int save_period = -1;    // epochs; -1: only best and last
  bool val = true;
  double iou = 0.7;
  int max_det = 300;
  std::string recipe = "classic";  // classic | modern
  std::string on_bad_label = "fail";  // fail | skip
  bool pretrained = true;
  AugmentConfig augment;
  std::vector<std::string> user_set;  // keys the user gave; optimizer=auto fills only the others
};

struct ValConfig {
  std::string model, data, run_dir, cache_dir;
  std::string split = "val";
  int64_t batch = 16;  // over all ranks
  int imgsz = 640;
  double conf = 0.001, iou = 0.7;
  int max_det = 300;
  bool rect = true;
  bool single_cls = false;
  bool save_json = false;
  int workers = 8;
  std::string amp = "off";
  std::string on_bad_label = "fail";
};

struct LabelConfig {
  std::vector<std::string> models;   // .pt paths; the first issue uses exactly one
  std::vector<std::string> sources;  // folders or image files
  std::string out;                   // folder; the sources' trees are mirrored under it
  int64_t batch = 8;                 // per rank
  int imgsz = 640;
  double conf = 0.25, iou = 0.7;
  int max_det = 300;
  std::vector<int> classes;          // keep only these; empty: all
  bool save_conf = false;            // a sixth column
  bool agnostic_nms = false;
  bool overwrite = false;            // false: an existing label file is kept
  int workers = 8;
  std::string amp = "off";
};

struct ProcessConfig {
  std::string source;                // raw folder of images and YOLO labels, never written to
  std::string out;                   // data set folder to create
  double train = 0.8, val = 0.2, test = 0.0;  // ratios, sum 1
  uint64_t seed = 0;
  std::vector<std::string> names;    // class names; empty: classes.txt of the source, else class0, class1 ...
  bool link = false;                 // hard-link instead of copying, where possible
  std::string on_bad_label = "fail";
};

}  // namespace yoke::engine
