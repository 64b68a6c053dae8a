#include "server/engine/checkpoint/train_args.h"

#include <map>

namespace yoke::engine {
namespace {

using namespace std::string_literals;

const ArgList& Defaults() {
  static const ArgList defaults = {{"task", "detect"s},
                                   {"mode", "train"s},
                                   {"model", {}},
                                   {"data", {}},
                                   {"epochs", int64_t{100}},
                                   {"time", {}},
                                   {"patience", int64_t{100}},
                                   {"batch", int64_t{16}},
                                   {"imgsz", int64_t{640}},
                                   {"save", true},
                                   {"save_period", int64_t{-1}},
                                   {"cache", false},
                                   {"device", {}},
                                   {"workers", int64_t{8}},
                                   {"project", {}},
                                   {"name", {}},
                                   {"exist_ok", false},
                                   {"pretrained", true},
                                   {"cls_remap", true},
                                   {"optimizer", "auto"s},
                                   {"verbose", true},
                                   {"seed", int64_t{0}},
                                   {"deterministic", true},
                                   {"single_cls", false},
                                   {"rect", false},
                                   {"cos_lr", false},
                                   {"close_mosaic", int64_t{10}},
                                   {"resume", false},
                                   {"amp", true},
                                   {"fraction", 1.0},
                                   {"profile", false},
                                   {"freeze", {}},
                                   {"multi_scale", 0.0},
                                   {"compile", false},
                                   {"channels_last", {}},
                                   {"overlap_mask", true},
                                   {"mask_ratio", int64_t{4}},
                                   {"dropout", 0.0},
                                   {"val", true},
                                   {"split", "val"s},
                                   {"save_json", false},
                                   {"conf", {}},
                                   {"iou", 0.7},
                                   {"max_det", int64_t{300}},
                                   {"quantize", {}},
                                   {"dnn", false},
                                   {"plots", true},
                                   {"nms", {}},
                                   {"source", {}},
                                   {"vid_stride", int64_t{1}},
                                   {"stream_buffer", false},
                                   {"visualize", false},
                                   {"augment", false},
                                   {"agnostic_nms", false},
                                   {"classes", {}},
                                   {"retina_masks", false},
                                   {"embed", {}},
                                   {"show", false},
                                   {"save_frames", false},
                                   {"save_txt", false},
                                   {"save_conf", false},
                                   {"save_crop", false},
                                   {"show_labels", true},
                                   {"show_conf", true},
                                   {"show_boxes", true},
                                   {"line_width", {}},
                                   {"format", "torchscript"s},
                                   {"optimize", false},
                                   {"dynamic", false},
                                   {"simplify", true},
                                   {"opset", {}},
                                   {"workspace", {}},
                                   {"lr0", 0.01},
                                   {"lrf", 0.01},
                                   {"momentum", 0.937},
                                   {"weight_decay", 0.0005},
                                   {"warmup_epochs", 3.0},
                                   {"warmup_momentum", 0.8},
                                   {"warmup_bias_lr", 0.1},
                                   {"distill_model", {}},
                                   {"dis", 6.0},
                                   {"box", 7.5},
                                   {"cls", 0.5},
                                   {"cls_pw", 0.0},
                                   {"dfl", 1.5},
                                   {"pose", 12.0},
                                   {"kobj", 1.0},
                                   {"rle", 1.0},
                                   {"angle", 1.0},
                                   {"dlog", 1.0},
                                   {"dgrad", 0.5},
                                   {"dlam", 1.0},
                                   {"nbs", int64_t{64}},
                                   {"hsv_h", 0.015},
                                   {"hsv_s", 0.7},
                                   {"hsv_v", 0.4},
                                   {"degrees", 0.0},
                                   {"translate", 0.1},
                                   {"scale", 0.5},
                                   {"shear", 0.0},
                                   {"perspective", 0.0},
                                   {"flipud", 0.0},
                                   {"fliplr", 0.5},
                                   {"bgr", 0.0},
                                   {"mosaic", 1.0},
                                   {"mixup", 0.0},
                                   {"cutmix", 0.0},
                                   {"copy_paste", 0.0},
                                   {"copy_paste_mode", "flip"s},
                                   {"auto_augment", "randaugment"s},
                                   {"erasing", 0.4},
                                   {"cfg", {}},
                                   {"tracker", "tracktrack.yaml"s}};
  return defaults;
}

}  // namespace

ArgList CompleteArgs(const ArgList& given) {
  std::map<std::string, ArgValue> values;
  for (const auto& [key, value] : given) values[key] = value;
  ArgList complete = Defaults();
  for (auto& [key, value] : complete) {
    const auto found = values.find(key);
    if (found != values.end()) value = found->second;
  }
  return complete;
}

}  // namespace yoke::engine
