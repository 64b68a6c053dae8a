// loader_bench: what one training sample costs, in milliseconds of one core. See README.md.
#include <malloc.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "server/engine/data/dataset.h"
#include "server/engine/data/image_arena.h"
#include "server/engine/data/loader.h"

namespace yoke::engine {
namespace {

constexpr char kUsage[] =
    "usage: loader_bench DATA_YAML [imgsz=640] [epochs=3] [batch=16] [cache=ram] [mosaic=1] "
    "[KEY=NUMBER ...]\n"
    "Loads every training image `epochs` times on one thread, after one epoch that is not "
    "counted.\n"
    "KEY is one of the training's augmentation keys: mosaic_tiles, mixup, cutmix, copy_paste, "
    "degrees, hsv_h ...\n";

double ProcessCpuSeconds() {
  struct rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// False for an unknown key.
bool Set(const std::string& key, double value, AugmentConfig& augment) {
  const std::map<std::string, double*> numbers = {{"hsv_h", &augment.hsv_h},
                                                  {"hsv_s", &augment.hsv_s},
                                                  {"hsv_v", &augment.hsv_v},
                                                  {"degrees", &augment.degrees},
                                                  {"scale", &augment.scale},
                                                  {"translate", &augment.translate},
                                                  {"shear", &augment.shear},
                                                  {"flipud", &augment.flipud},
                                                  {"perspective", &augment.perspective},
                                                  {"fliplr", &augment.fliplr},
                                                  {"bgr", &augment.bgr},
                                                  {"mosaic", &augment.mosaic},
                                                  {"mixup", &augment.mixup},
                                                  {"cutmix", &augment.cutmix},
                                                  {"copy_paste", &augment.copy_paste}};
  const std::map<std::string, bool*> switches = {{"hsv_additive", &augment.hsv_additive},
                                                 {"mosaic_recent", &augment.mosaic_recent},
                                                 {"polygon_clip", &augment.polygon_clip},
                                                 {"label_half_pixel", &augment.label_half_pixel}};
  if (const auto number = numbers.find(key); number != numbers.end()) {
    *number->second = value;
  } else if (const auto flag = switches.find(key); flag != switches.end()) {
    *flag->second = value != 0;
  } else if (key == "mosaic_tiles") {
    augment.mosaic_tiles = static_cast<int>(value);
  } else {
    return false;
  }
  return true;
}

int Fail(const std::string& what) {
  std::fprintf(stderr, "loader_bench: %s\n%s", what.c_str(), kUsage);
  return 2;
}

int Run(int argc, char** argv) {
  if (argc < 2) return Fail("no data set");
  // As the worker does: large blocks stay mapped.
  constexpr int kKeptBytes = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kKeptBytes);
  mallopt(M_TRIM_THRESHOLD, kKeptBytes);
  LoaderOptions options{.batch = 16, .imgsz = 640, .threads = 1};
  AugmentConfig augment;
  int epochs = 3;
  bool cached = false;
  for (int i = 2; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string key = argument.substr(0, equals);
    if (argument == "cache=ram") {
      cached = true;
      continue;
    }
    double value = 0;
    if (equals == std::string::npos || !absl::SimpleAtod(argument.substr(equals + 1), &value))
      return Fail("cannot read " + argument);
    if (key == "imgsz") {
      options.imgsz = static_cast<int>(value);
    } else if (key == "epochs") {
      epochs = static_cast<int>(value);
    } else if (key == "batch") {
      options.batch = static_cast<int>(value);
    } else if (!Set(key, value, augment)) {
      return Fail("unknown key " + key);
    }
  }
  const absl::StatusOr<DataYaml> yaml = ReadDataYaml(argv[1]);
  if (!yaml.ok()) return Fail(std::string(yaml.status().message()));
  const absl::StatusOr<Split> split = ScanSplit(
      yaml->train, {.class_count = static_cast<int>(yaml->names.size()), .polygons = true});
  if (!split.ok()) return Fail(std::string(split.status().message()));
  if (cached) {
    const std::string folder = ArenaFolder(ArenaKind::kMemory, "");
    auto cache = ImageArena::Open(ArenaKind::kMemory, folder, *split, options.imgsz,
                                  ArenaBudget(ArenaKind::kMemory, folder));
    if (!cache.ok()) return Fail(std::string(cache.status().message()));
    options.cache = *std::move(cache);
  }
  const auto loader = MakeTrainLoader(*split, augment, options, -1);
  int64_t samples = 0;
  double cpu = 0, wall = 0;
  for (int epoch = 0; epoch <= epochs; ++epoch) {
    const double cpu_begin = ProcessCpuSeconds();
    const auto begin = std::chrono::steady_clock::now();
    loader->StartEpoch(epoch);
    int64_t count = 0;
    while (true) {
      absl::StatusOr<std::unique_ptr<Batch>> batch = loader->Next();
      if (!batch.ok()) return Fail(std::string(batch.status().message()));
      if (*batch == nullptr) break;
      count += (*batch)->count;
      loader->Recycle(*std::move(batch));
    }
    if (epoch == 0) continue;  // memory is mapped and caches are filled
    samples += count;
    cpu += ProcessCpuSeconds() - cpu_begin;
    wall += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  const auto each = [&](double seconds) { return 1e3 * seconds / static_cast<double>(samples); };
  std::printf("%lld samples, ms each: %.2f of a core, %.2f elapsed\n",
              static_cast<long long>(samples), each(cpu), each(wall));
  return 0;
}

}  // namespace
}  // namespace yoke::engine

int main(int argc, char** argv) { return yoke::engine::Run(argc, argv); }
