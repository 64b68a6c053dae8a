#include "server/engine/plots/palette.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace yoke::engine {
namespace {

// Neighbours differ in hue and in lightness; all are legible on white and on photos.
constexpr Colour kClasses[kClassColours] = {
    {31, 111, 235}, {229, 72, 77},  {45, 164, 78}, {240, 140, 0},   {130, 80, 223},
    {0, 163, 163},  {214, 64, 159}, {122, 92, 62}, {194, 165, 0},   {76, 91, 212},
    {111, 174, 0},  {0, 168, 224},  {180, 35, 44}, {11, 122, 91},   {161, 90, 201},
    {201, 106, 27}, {91, 107, 123}, {154, 165, 0}, {227, 111, 138}, {46, 74, 143}};

constexpr Colour kScale[] = {{255, 255, 255}, {214, 230, 246}, {148, 196, 230},
                             {70, 143, 204},  {17, 87, 160},   {8, 38, 92}};
constexpr int kScaleSteps = static_cast<int>(std::size(kScale)) - 1;

// Relative luminance of sRGB, WCAG 2.
double Luminance(Colour colour) {
  const auto linear = [](uint8_t value) {
    const double share = value / 255.0;
    return share <= 0.03928 ? share / 12.92 : std::pow((share + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(colour.red) + 0.7152 * linear(colour.green) + 0.0722 * linear(colour.blue);
}

uint8_t Mix(uint8_t from, uint8_t to, double share) {
  return static_cast<uint8_t>(std::lround(from + (to - from) * share));
}

}  // namespace

Colour ClassColour(int64_t class_id) {
  return kClasses[(class_id % kClassColours + kClassColours) % kClassColours];
}

Colour InkOn(Colour background) {
  const double luminance = Luminance(background) + 0.05;
  const double white = 1.05 / luminance, black = luminance / 0.05;  // contrasts
  // On a strong colour white reads better than the figures say.
  return white >= 0.6 * black ? kWhite : kBlack;
}

Colour Shade(double share) {
  const double at = std::isnan(share) ? 0 : std::clamp(share, 0.0, 1.0) * kScaleSteps;
  const int step = std::min(static_cast<int>(at), kScaleSteps - 1);
  const Colour from = kScale[step], to = kScale[step + 1];
  return {Mix(from.red, to.red, at - step), Mix(from.green, to.green, at - step),
          Mix(from.blue, to.blue, at - step)};
}

}  // namespace yoke::engine
