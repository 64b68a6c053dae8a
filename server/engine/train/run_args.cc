#include "server/engine/train/run_args.h"

namespace yoke::engine {
namespace {

ArgValue TextOr(const std::string& text, const ArgValue& otherwise) {
  return text.empty() ? otherwise : ArgValue(text);
}

}  // namespace

ArgList ArgsOf(const TrainConfig& config) {
  const AugmentConfig& augment = config.augment;
  const auto integer = [](int64_t value) { return ArgValue(value); };
  return {{"model", config.model},
          {"data", config.data},
          {"epochs", integer(config.epochs)},
          {"time", config.time_hours > 0 ? ArgValue(config.time_hours) : ArgValue()},
          {"patience", integer(config.patience)},
          {"batch", config.batch},
          {"imgsz", integer(config.imgsz)},
          {"save_period", integer(config.save_period)},
          {"cache", config.cache == "off" ? ArgValue(false) : ArgValue(config.cache)},
          {"workers", integer(config.workers)},
          {"pretrained", config.pretrained},
          {"cls_remap", config.cls_remap},
          {"optimizer", config.optimizer},
          {"seed", integer(static_cast<int64_t>(config.seed))},
          {"deterministic", config.deterministic},
          {"single_cls", config.single_cls},
          {"rect", config.rect},
          {"cos_lr", config.cos_lr},
          {"close_mosaic", integer(config.close_mosaic)},
          {"resume", TextOr(config.resume, false)},
          {"amp", config.amp != "off"},
          {"fraction", config.fraction},
          {"freeze", config.freeze_layers.empty() ? ArgValue() : ArgValue(config.freeze_layers)},
          {"multi_scale", config.multi_scale},
          {"val", config.val},
          {"iou", config.iou},
          {"max_det", integer(config.max_det)},
          {"plots", config.plots},
          {"lr0", config.lr0},
          {"lrf", config.lrf},
          {"momentum", config.momentum},
          {"weight_decay", config.weight_decay},
          {"warmup_epochs", config.warmup_epochs},
          {"warmup_momentum", config.warmup_momentum},
          {"warmup_bias_lr", config.warmup_bias_lr},
          {"box", config.box},
          {"cls", config.cls},
          {"cls_pw", config.cls_pw},
          {"dfl", config.dfl},
          {"nbs", integer(config.nbs)},
          {"hsv_h", augment.hsv_h},
          {"hsv_s", augment.hsv_s},
          {"hsv_v", augment.hsv_v},
          {"degrees", augment.degrees},
          {"translate", augment.translate},
          {"scale", augment.scale},
          {"shear", augment.shear},
          {"perspective", augment.perspective},
          {"flipud", augment.flipud},
          {"fliplr", augment.fliplr},
          {"bgr", augment.bgr},
          {"mosaic", augment.mosaic},
          {"mixup", augment.mixup},
          {"cutmix", augment.cutmix},
          {"copy_paste", augment.copy_paste},
          {"copy_paste_mode", augment.copy_paste_mode}};
}

ArgList OwnArgsOf(const TrainConfig& config) {
  const RecipeConfig& recipe = config.recipe;
  const AugmentConfig& augment = config.augment;
  const auto integer = [](int64_t value) { return ArgValue(value); };
  return {{"recipe", config.recipe_name},
          {"tal_floor", integer(recipe.tal_floor)},
          {"box_bias", recipe.box_bias},
          {"fresh_var", recipe.fresh_var},
          {"warmup_floor", integer(recipe.warmup_floor)},
          {"warmup_cap", recipe.warmup_cap},
          {"lr_lag", recipe.lr_lag},
          {"accumulate_cap", recipe.accumulate_cap},
          {"zero_grad", recipe.zero_grad},
          {"fitness_map50", recipe.fitness_map50},
          {"best_on_tie", recipe.best_on_tie},
          {"close_short", recipe.close_short},
          {"fraction_random", recipe.fraction_random},
          {"freeze_bn", recipe.freeze_bn},
          {"max_det_auto", recipe.max_det_auto},
          {"lr_bias_first", recipe.lr_bias_first},
          {"auto_long", recipe.auto_long},
          {"hsv_additive", augment.hsv_additive},
          {"mosaic_recent", augment.mosaic_recent},
          {"mosaic_tiles", integer(augment.mosaic_tiles)},
          {"polygon_clip", augment.polygon_clip},
          {"label_half_pixel", augment.label_half_pixel},
          {"sync_bn", config.sync_bn},
          {"on_bad_label", config.on_bad_label}};
}

}  // namespace yoke::engine
