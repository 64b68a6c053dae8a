// Plain configuration of the engine: what to train, validate or label, in the field's own key
// names. Every value is resolved: the engine has no defaults of its own for what a user may set.
// The worker fills these from spec.json; tests fill them by hand.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace yoke::engine {

// What follows mirrors the keys of Ultralytics' training configuration; recipe semantics are in
// train/.
struct AugmentConfig {
  double hsv_h = 0.015, hsv_s = 0.7, hsv_v = 0.4;  // gains, fractions
  double degrees = 0, translate = 0.1, scale = 0.5, shear = 0, perspective = 0;
  double flipud = 0, fliplr = 0.5, bgr = 0;        // probabilities
  double mosaic = 1.0, mixup = 0.0, cutmix = 0.0;  // probabilities
  int mosaic_tiles = 4;                            // 4 | 9
  double copy_paste = 0;                           // share of eligible objects
  std::string copy_paste_mode = "flip";            // flip | mixup
  bool hsv_additive = false;  // hues are shifted, not multiplied; grey pixels stay grey
  bool mosaic_recent = true;  // partners of a mosaic come from the images used last
  // A polygon's box is that of the polygon cut at the edge, not of its points inside; and
  // copy_paste takes the objects that cover least, not random ones.
  bool polygon_clip = false;
  // An image without mosaic is letterboxed, its labels move by the unrounded padding.
  bool label_half_pixel = true;
};

// What the later versions of the reference changed in the training itself, each by a name of its
// own; the comments say what the first value and the second are. See setting "recipe".
struct RecipeConfig {
  int tal_floor = 0;        // px a side counts as at least in the assigner's inside test: 0 | 16
  double box_bias = 1.0;    // of a fresh head: 1 | 2
  double fresh_var = 0.9;   // running variance of a fresh BatchNorm: 0.9 | 1
  int warmup_floor = 100;   // iterations: 100 | 0
  bool warmup_cap = false;  // warm-up ends before the last epoch
  bool lr_lag = true;       // after warm-up an epoch has the rate of the one before
  bool accumulate_cap = false;    // no more batches than the training has
  bool zero_grad = true;          // gradients accumulated so far are dropped when an epoch begins
  double fitness_map50 = 0.1;     // share of mAP50 in the fitness, the rest is mAP50-95: 0.1 | 0
  bool best_on_tie = true;        // an equal fitness restarts the patience
  bool close_short = false;       // a training shorter than close_mosaic never has mosaic
  bool fraction_random = true;    // fraction takes a random part, not the first
  bool freeze_bn = false;         // statistics of frozen layers stand still
  bool max_det_auto = false;      // max_det is raised to the most objects of an image
  bool lr_bias_first = true;      // order of the lr columns
  std::string auto_long = "SGD";  // optimizer=auto for long trainings: SGD | MuSGD
};

struct TrainConfig {
  std::string model;      // absolute path of a .pt, or "yolov8n.yaml" for scratch
  std::string data;       // absolute path of the data set's YAML
  std::string run_dir;    // absolute; weights/, results.csv, args.yaml and checkpoints/ go here
  std::string cache_dir;  // absolute; label caches, never beside the user's data
  std::string resume;  // a run folder, checkpoint or last.pt to continue from; empty: start afresh
  int epochs = 100;
  int64_t batch = 16;  // images per iteration over all ranks; -1: the most that fit
  int imgsz = 640;     // px, already a multiple of 32
  int workers = 8;     // loader threads per rank
  int patience = 100;  // epochs without a better fitness; 0: never stop early
  std::string optimizer =
      "auto";  // auto | SGD | MuSGD | Adam | AdamW | Adamax | NAdam | RAdam | RMSProp
  double lr0 = 0.01, lrf = 0.01, momentum = 0.937, weight_decay = 5e-4;
  double warmup_epochs = 3.0, warmup_momentum = 0.8, warmup_bias_lr = 0.1;
  double box = 7.5, cls = 0.5, dfl = 1.5;  // loss gains
  double cls_pw = 0;  // power of the classes' inverse frequency that weighs them
  int nbs = 64;
  int close_mosaic = 10;
  bool cos_lr = false;
  bool rect = false;
  double multi_scale = 0;  // each batch within +/- this fraction of imgsz
  bool single_cls = false;
  double fraction = 1.0;
  std::vector<int> freeze_layers;  // indices, 0 .. 22
  double time_hours = 0;           // 0: epochs decide
  uint64_t seed = 0;
  bool deterministic = true;
  std::string amp = "auto";   // auto | off | bf16 | fp16
  bool sync_bn = false;       // BatchNorm over all ranks' images
  std::string cache = "off";  // off | ram | disk
  int save_period = -1;       // epochs; -1: only best and last
  bool val = true;
  double iou = 0.7;
  int max_det = 300;
  std::string recipe_name = "classic";  // classic | modern: what `recipe` was filled from
  RecipeConfig recipe;
  std::string on_bad_label = "fail";  // fail | skip
  bool pretrained = true;
  bool cls_remap = true;  // class weights follow class names where the classes differ
  bool plots = true;
  bool cuda_graphs = false;
  bool nvjpeg = false;
  AugmentConfig augment;
  std::vector<std::string> user_set;  // keys the user gave; optimizer=auto fills only the others
};

// How detections of several models become one.
struct EnsembleConfig {
  std::string method = "wbf";   // nms | soft_nms | wbf
  std::vector<double> weights;  // one a model; empty: all the same
  double iou = 0.55;            // from which detections are one object
};

struct ValConfig {
  std::vector<std::string> models;  // several: measured each and as an ensemble
  std::string data, run_dir, cache_dir;
  std::string split = "val";
  int64_t batch = 16;  // over all ranks
  int imgsz = 640;
  double conf = 0.001, iou = 0.7;
  int max_det = 300;
  bool rect = true;
  bool single_cls = false;
  bool save_json = false;
  bool plots = true;
  EnsembleConfig ensemble;
  int workers = 8;
  std::string amp = "off";
  bool nvjpeg = false;
  std::string on_bad_label = "fail";
};

struct LabelConfig {
  std::vector<std::string> models;   // .pt paths
  EnsembleConfig ensemble;           // of several models
  std::vector<std::string> sources;  // folders or image files
  std::string out;                   // folder; the sources' trees are mirrored under it
  int64_t batch = 8;                 // per rank
  int imgsz = 640;
  double conf = 0.25, iou = 0.7;
  int max_det = 300;
  std::vector<int> classes;  // keep only these; empty: all
  bool save_conf = false;    // a sixth column
  bool agnostic_nms = false;
  bool overwrite = false;  // false: an existing label file is kept
  int workers = 8;
  std::string amp = "off";
  bool nvjpeg = false;
};

struct ProcessConfig {
  std::string source;  // raw folder of images and YOLO labels, never written to
  std::string out;     // data set folder to create
  double train = 0.8, val = 0.2, test = 0.0;  // ratios, sum 1
  uint64_t seed = 0;
  std::vector<std::string>
      names;          // class names; empty: classes.txt of the source, else class0, class1 ...
  bool link = false;  // hard-link instead of copying, where possible
  std::string on_bad_label = "fail";
};

struct ExportConfig {
  std::string model;            // .pt
  std::string format = "onnx";  // onnx | safetensors
  std::string out;              // absolute path of the file
  int imgsz = 640;
  int64_t batch = 1;
  bool dynamic = false;  // batch, height and width stay open
  bool nms = false;      // decoding and suppression in the graph
  double conf = 0.25, iou = 0.7;
  int max_det = 300;
  bool agnostic_nms = false;
  bool half = false;  // float16 weights, safetensors only
  int opset = 17;
};

}  // namespace yoke::engine
