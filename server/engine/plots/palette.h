// The colours of pictures.
#pragma once

#include <cstdint>

namespace yoke::engine {

struct Colour {
  uint8_t red = 0, green = 0, blue = 0;

  friend bool operator==(const Colour&, const Colour&) = default;
};

inline constexpr Colour kBlack{0, 0, 0}, kWhite{255, 255, 255}, kInk{34, 38, 44},
    kGrey{140, 146, 154}, kPale{228, 231, 235}, kBlue{31, 111, 235}, kOrange{240, 140, 0};

// Distinguishable by eye: as many curves are drawn with a legend.
inline constexpr int kClassColours = 20;
// Of a class; any id. They repeat after kClassColours.
Colour ClassColour(int64_t class_id);
// Black or white, whichever is legible on it.
Colour InkOn(Colour background);
// A scale from white (0) over blue to near black (1); what is outside or no number counts as the
// nearer end.
Colour Shade(double share);

}  // namespace yoke::engine
