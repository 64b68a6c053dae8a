// yoke-shapes: writes a data set of drawn shapes. See shapes.h.
#include <cstdio>
#include <map>
#include <string>

#include "absl/strings/numbers.h"
#include "server/engine/data/shapes/shapes.h"

namespace {

constexpr char kUsage[] =
    "usage: yoke-shapes --out DIR [--images 400] [--val 80] [--size 160] [--classes 3] [--seed 0]\n"
    "Draws labelled pictures of circles, squares and triangles (up to 6 classes: star, cross, ring)\n"
    "and writes images/, labels/ and data.yaml to DIR, which must be new or empty.\n";

int Refuse(const std::string& what) {
  std::fprintf(stderr, "yoke-shapes: %s\n%s", what.c_str(), kUsage);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  yoke::engine::ShapesOptions options;
  const std::map<std::string, int*> numbers = {{"--images", &options.train},
                                               {"--val", &options.val},
                                               {"--size", &options.size},
                                               {"--classes", &options.classes}};
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    if (key == "--help" || key == "-h") {
      std::fputs(kUsage, stdout);
      return 0;
    }
    if (i + 1 == argc) return Refuse(key + " needs a value");
    const std::string value = argv[++i];
    if (key == "--out") {
      options.out = value;
    } else if (key == "--seed") {
      if (!absl::SimpleAtoi(value, &options.seed)) return Refuse("--seed: '" + value + "' is no whole number");
    } else if (const auto number = numbers.find(key); number != numbers.end()) {
      if (!absl::SimpleAtoi(value, number->second)) return Refuse(key + ": '" + value + "' is no whole number");
    } else {
      return Refuse("unknown option " + key);
    }
  }
  if (options.out.empty()) return Refuse("--out is missing");
  if (const absl::Status status = yoke::engine::WriteShapes(options); !status.ok()) {
    std::fprintf(stderr, "yoke-shapes: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  std::printf("%d training and %d validation images in %s\n", options.train, options.val, options.out.c_str());
  return 0;
}
