// What every picture must keep to, whatever it shows.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "opencv2/core.hpp"
#include "server/engine/plots/canvas.h"

namespace yoke::engine {

inline std::string Where(const PlacedText& text) {
  const cv::Rect& box = text.box;
  return "'" + text.text.substr(0, 40) + "' at " + std::to_string(box.x) + "," +
         std::to_string(box.y) + " " + std::to_string(box.width) + "x" + std::to_string(box.height);
}

// No text is cut by the picture's edge or meets another; no panel is blank.
inline void ExpectTidy(const Figure& figure) {
  const cv::Rect whole(0, 0, figure.bgr.cols, figure.bgr.rows);
  const std::vector<PlacedText>& texts = figure.layout.texts;
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(texts[i].box & whole, texts[i].box) << Where(texts[i]) << " is cut";
    for (size_t j = 0; j < i; ++j) {
      EXPECT_TRUE((texts[i].box & texts[j].box).empty())
          << Where(texts[i]) << " meets " << Where(texts[j]);
    }
  }
  for (const cv::Rect& panel : figure.layout.panels) {
    ASSERT_EQ(panel & whole, panel);
    cv::Mat mean, deviation;
    cv::meanStdDev(figure.bgr(panel), mean, deviation);
    EXPECT_GT(cv::sum(deviation)[0], 0) << "a blank panel at " << panel.x << "," << panel.y;
  }
}

inline bool HasText(const Figure& figure, const std::string& text) {
  const std::vector<PlacedText>& texts = figure.layout.texts;
  return std::any_of(texts.begin(), texts.end(),
                     [&](const PlacedText& one) { return one.text == text; });
}

// Class names as people write them, and worse.
inline std::vector<std::string> OddNames() {
  return {"Straße",       "Łódź",
          "Кошка",        "γάτα",
          "猫",           "e\xCC\x81te\xCC\x81",
          "\xFF\xFE raw", std::string(200, 'w'),
          "a\tb\nc",      "",
          "🙂"};
}
inline std::vector<std::string> NumberedNames(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back("class number " + std::to_string(i));
  return names;
}

}  // namespace yoke::engine
