// The font's file, which the build puts into the program (font/Tuffy.ttf).
#pragma once

namespace yoke::engine {

extern const unsigned char kFontBytes[];

}  // namespace yoke::engine
