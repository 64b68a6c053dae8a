#include "server/engine/plots/batch_mosaic.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "opencv2/core.hpp"
#include "opencv2/imgproc.hpp"
#include "server/engine/plots/class_name.h"

namespace yoke::engine {
namespace {

constexpr int kSideMax = 1920;  // px of the whole picture
constexpr int kCellMin = 320;   // px of a cell's longer side: smaller images are magnified
constexpr int kCellRoom = 160;  // px of each side of a cell at least, for names
constexpr int kBorder = 2;
constexpr double kTextSizeMin = 15, kTextSizeMax = 24;
constexpr int kPad = 4;  // of a name in its chip
constexpr Colour kBackground{90, 94, 100}, kChip{20, 22, 26};

cv::Mat ImageOf(const Batch& batch, int index) {
  const size_t plane = static_cast<size_t>(batch.height) * batch.width;
  // OpenCV has no view of constant data; nothing writes through these.
  auto* first = const_cast<uint8_t*>(batch.pixels.data()) + 3 * plane * index;
  const cv::Mat planes[3] = {cv::Mat(batch.height, batch.width, CV_8UC1, first + 2 * plane),
                             cv::Mat(batch.height, batch.width, CV_8UC1, first + plane),
                             cv::Mat(batch.height, batch.width, CV_8UC1, first)};
  cv::Mat bgr;
  cv::merge(planes, 3, bgr);
  return bgr;
}

struct Grid {
  int columns = 1, rows = 1;
  double scale = 1;           // shown px per image px
  int width = 0, height = 0;  // of a shown image
  int cell_width = 0, cell_height = 0;
};

Grid GridOf(const Batch& batch, int images) {
  Grid grid;
  grid.columns = static_cast<int>(std::ceil(std::sqrt(images)));
  grid.rows = (images + grid.columns - 1) / grid.columns;
  const int longer = std::max(batch.width, batch.height);
  const int room = (kSideMax - kBorder) / grid.columns - kBorder;
  grid.scale = std::min(1.0, static_cast<double>(room) / longer);
  if (longer < kCellMin) grid.scale = static_cast<double>(kCellMin) / longer;
  grid.width = std::max(1, static_cast<int>(std::lround(batch.width * grid.scale)));
  grid.height = std::max(1, static_cast<int>(std::lround(batch.height * grid.scale)));
  grid.cell_width = std::max(grid.width, kCellRoom);
  grid.cell_height = std::max(grid.height, kCellRoom);
  return grid;
}

// Draws into one cell and knows which parts of it are taken by names.
class Cell {
 public:
  Cell(Canvas& canvas, const cv::Rect& area, double text_size)
      : canvas_(canvas), area_(area), text_size_(text_size) {}

  void Name(const std::string& name) {
    if (name.empty()) return;
    const std::string text = canvas_.font().Elided(name, text_size_, area_.width - 2 * kPad - 6);
    Place(text, SizeOf(text), {cv::Point(area_.x + 3, area_.y + 3)}, kChip);
  }

  void Box(const cv::Rect& box, Colour colour, int width) {
    canvas_.Frame(box & area_, colour, width);
  }

  void BoxName(const cv::Rect& box, const std::string& text, Colour colour) {
    const cv::Size size = SizeOf(text);
    const int left = std::clamp(box.x, area_.x, std::max(area_.x, area_.br().x - size.width));
    const int right =
        std::clamp(box.br().x - size.width, area_.x, std::max(area_.x, area_.br().x - size.width));
    const int over = box.y - size.height, under = box.br().y, inner_top = box.y,
              inner_bottom = under - size.height;
    Place(text, size,
          {{left, over},
           {left, inner_top},
           {right, over},
           {right, inner_top},
           {left, under},
           {left, inner_bottom},
           {right, under},
           {right, inner_bottom},
           {box.br().x, inner_top},
           {box.x - size.width, inner_top},
           {box.br().x, inner_bottom},
           {box.x - size.width, inner_bottom}},
          colour);
  }

  double text_size() const { return text_size_; }
  const cv::Rect& area() const { return area_; }

 private:
  cv::Size SizeOf(const std::string& text) const {
    return {static_cast<int>(std::ceil(canvas_.font().Width(text, text_size_))) + 2 * kPad,
            Font::LineHeight(text_size_)};
  }

  void Place(const std::string& text, cv::Size size, const std::vector<cv::Point>& places,
             Colour colour) {
    for (const cv::Point& place : places) {
      const cv::Rect chip(place, size);
      if ((chip & area_) != chip) continue;
      const auto covers = [&](const cv::Rect& taken) { return !(taken & chip).empty(); };
      if (std::any_of(taken_.begin(), taken_.end(), covers)) continue;
      canvas_.Fill(chip, colour);
      canvas_.Text(text, cv::Point2d(chip.x + kPad, chip.y),
                   {.size = text_size_, .colour = InkOn(colour)});
      taken_.push_back(chip);
      return;
    }
  }

  Canvas& canvas_;
  const cv::Rect area_;
  const double text_size_;
  std::vector<cv::Rect> taken_;
};

// The box as the cell shows it; empty if it lies outside or its numbers are none.
cv::Rect ShownBox(const Detection& box, const Grid& grid, cv::Point corner) {
  if (!std::isfinite(box.x1 + box.y1 + box.x2 + box.y2)) return {};
  const auto px = [&](float value) {
    return static_cast<int>(std::lround(std::clamp(value * grid.scale, -1e5, 1e5)));
  };
  const cv::Point from(px(box.x1), px(box.y1)), to(px(box.x2), px(box.y2));
  cv::Rect shown(from, cv::Size(std::max(1, to.x - from.x), std::max(1, to.y - from.y)));
  shown &= cv::Rect(0, 0, grid.width, grid.height);
  return shown + corner;
}

// Boxes in the order in which their names choose places.
std::vector<size_t> ByImportance(const std::vector<Detection>& boxes, bool confidences) {
  std::vector<size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto weight = [&](size_t i) {
    const Detection& box = boxes[i];
    const float value = confidences ? box.confidence : (box.x2 - box.x1) * (box.y2 - box.y1);
    return std::isnan(value) ? 0.0f : value;
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return weight(a) > weight(b); });
  return order;
}

// Frames first, then names: no frame runs through a text.
void DrawCell(Cell& cell, const Font& font, const Grid& grid, cv::Point corner,
              const std::string& name, const std::vector<Detection>& boxes,
              const MosaicText& text) {
  const int width = std::max(2, static_cast<int>(std::lround(cell.text_size() / 7)));
  const std::vector<size_t> order = ByImportance(boxes, text.confidences);
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    const cv::Rect shown = ShownBox(boxes[*i], grid, corner);
    if (!shown.empty()) cell.Box(shown, ClassColour(boxes[*i].class_id), width);
  }
  cell.Name(name);
  for (const size_t i : order) {
    const cv::Rect shown = ShownBox(boxes[i], grid, corner);
    if (shown.empty()) continue;
    const std::string figure =
        text.confidences ? absl::StrFormat(" %.2f", boxes[i].confidence) : "";
    const double room = cell.area().width - 2 * kPad - font.Width(figure, cell.text_size());
    const std::string class_name =
        font.Elided(ShownName(font, text.classes, boxes[i].class_id), cell.text_size(), room);
    cell.BoxName(shown, class_name + figure, ClassColour(boxes[i].class_id));
  }
}

}  // namespace

std::vector<std::vector<Detection>> LabelBoxes(const Batch& batch) {
  std::vector<std::vector<Detection>> boxes(std::max(batch.count, 0));
  const auto width = static_cast<float>(batch.width), height = static_cast<float>(batch.height);
  for (const BatchLabel& label : batch.labels) {
    if (label.image < 0 || label.image >= batch.count) continue;
    const float x = label.x * width, y = label.y * height, half_w = label.w * width / 2,
                half_h = label.h * height / 2;
    Detection box{x - half_w, y - half_h, x + half_w, y + half_h};
    box.class_id = static_cast<int>(label.class_id);
    boxes[label.image].push_back(box);
  }
  return boxes;
}

Figure DrawMosaic(const Batch& batch, const std::vector<std::vector<Detection>>& boxes,
                  const MosaicText& text) {
  const bool whole =
      batch.width > 0 && batch.height > 0 &&
      batch.pixels.size() >= size_t{3} * batch.width * batch.height * std::max(batch.count, 0);
  const int images = whole ? std::clamp(batch.count, 0, kMosaicImagesMax) : 0;
  if (images == 0) {
    Canvas canvas(kCellMin, kCellMin);
    canvas.Text("no images", {kCellMin / 2.0, kCellMin / 2.0},
                {.colour = kGrey, .h = 0.5, .v = 0.5});
    return canvas.Finish();
  }
  const Grid grid = GridOf(batch, images);
  const int step_x = grid.cell_width + kBorder, step_y = grid.cell_height + kBorder;
  Canvas canvas(grid.columns * step_x + kBorder, grid.rows * step_y + kBorder);
  const double text_size =
      std::clamp(std::min(grid.cell_width, grid.cell_height) / 25.0, kTextSizeMin, kTextSizeMax);
  for (int i = 0; i < images; ++i) {
    const cv::Rect area(i % grid.columns * step_x + kBorder, i / grid.columns * step_y + kBorder,
                        grid.cell_width, grid.cell_height);
    const cv::Point corner(area.x + (area.width - grid.width) / 2,
                           area.y + (area.height - grid.height) / 2);
    canvas.Fill(area, kBackground);
    cv::Mat target = canvas.bgr()(cv::Rect(corner, cv::Size(grid.width, grid.height)));
    const int how = grid.scale > 1     ? cv::INTER_NEAREST
                    : grid.scale < 0.5 ? cv::INTER_AREA
                                       : cv::INTER_LINEAR;
    cv::resize(ImageOf(batch, i), target, target.size(), 0, 0, how);
    canvas.AddPanel(area);
    Cell cell(canvas, area, text_size);
    const auto at = static_cast<size_t>(i);
    DrawCell(cell, canvas.font(), grid, corner, at < text.images.size() ? text.images[at] : "",
             at < boxes.size() ? boxes[at] : std::vector<Detection>(), text);
  }
  return canvas.Finish();
}

}  // namespace yoke::engine
