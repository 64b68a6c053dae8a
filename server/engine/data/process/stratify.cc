#include "server/engine/data/process/stratify.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "server/engine/data/random.h"

namespace yoke::engine {
namespace {

constexpr int kOpen = -1;

class Dealer {
 public:
  Dealer(const std::vector<std::vector<int>>& classes, const std::array<double, kSplitCount>& ratios, uint64_t seed)
      : classes_(classes), ratios_(ratios), split_(classes.size(), kOpen) {
    std::vector<size_t> order(classes.size());
    std::iota(order.begin(), order.end(), size_t{0});
    Random random(seed, 0, 0);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[static_cast<size_t>(random.Below(static_cast<int64_t>(i)))]);
    for (size_t image : order) {
      for (int id : classes[image]) images_of_[id].push_back(image);
      if (classes[image].empty()) backgrounds_.push_back(image);
    }
    for (int s = 0; s < kSplitCount; ++s) room_[s] = ratios[s] * static_cast<double>(classes.size());
  }

  std::vector<SplitName> Deal() {
    std::vector<int> rare_first;
    for (const auto& [id, images] : images_of_) rare_first.push_back(id);
    std::stable_sort(rare_first.begin(), rare_first.end(),
                     [&](int a, int b) { return images_of_[a].size() < images_of_[b].size(); });
    for (int id : rare_first) DealClass(id);
    for (size_t image : backgrounds_) Put(image, Roomiest());
    for (int id : rare_first) Mend(id);
    Balance();
    MendEmpty();
    std::vector<SplitName> out;
    for (int split : split_) out.push_back(static_cast<SplitName>(split));
    return out;
  }

 private:
  using Counts = std::array<int64_t, kSplitCount>;

  void Put(size_t image, int split) {
    if (split_[image] != kOpen) {
      room_[split_[image]] += 1;
      for (int id : classes_[image]) --count_[id][split_[image]];
    }
    split_[image] = split;
    room_[split] -= 1;
    for (int id : classes_[image]) ++count_[id][split];
  }

  int Roomiest() const {
    int best = 0;
    for (int s = 1; s < kSplitCount; ++s) {
      if (ratios_[s] > 0 && room_[s] > room_[best]) best = s;
    }
    return best;
  }

  void DealClass(int id) {
    const std::vector<size_t>& images = images_of_[id];
    const auto total = static_cast<double>(images.size());
    for (size_t image : images) {
      if (split_[image] != kOpen) continue;
      const Counts& have = count_[id];
      int best = 0;
      double best_lack = -1e18;
      for (int s = 0; s < kSplitCount; ++s) {
        if (ratios_[s] <= 0) continue;
        // A side without this class yet comes first: train, then val if there are enough. Test has no such claim.
        const bool must = have[s] == 0 && s < 2 && images.size() > static_cast<size_t>(s);
        const double lack = ratios_[s] * total - static_cast<double>(have[s]) + (must ? 1e6 - s : 0) + 1e-6 * room_[s];
        if (lack > best_lack) best = s, best_lack = lack;
      }
      Put(image, best);
    }
  }

  // True if moving `image` out of `split` leaves each of its classes of two images or more there.
  bool CanLeave(size_t image, int split) {
    return std::all_of(classes_[image].begin(), classes_[image].end(), [&](int id) {
      return count_[id][split] > 1 || images_of_[id].size() < 2;
    });
  }

  // Gives a class that all landed on one side, through rarer classes in the same images, a place on the other.
  void Mend(int id) {
    if (images_of_[id].size() < 2 || ratios_[1] <= 0) return;
    for (const auto& [to, from] : {std::pair{1, 0}, {0, 1}}) {
      if (count_[id][to] > 0) continue;
      for (int source : {from, 2}) {
        for (size_t image : images_of_[id]) {
          if (count_[id][to] == 0 && split_[image] == source && CanLeave(image, source)) Put(image, to);
        }
      }
    }
  }

  // How many more images of this one's classes `split` holds than its ratio asks for, in the mean.
  double Surplus(size_t image, int split) {
    double sum = 0;
    for (int id : classes_[image]) {
      sum += static_cast<double>(count_[id][split]) - ratios_[split] * static_cast<double>(images_of_[id].size());
    }
    return classes_[image].empty() ? 0 : sum / static_cast<double>(classes_[image].size());
  }

  // Rare classes can fill a small split far beyond its ratio, or pass it by: the emptiest takes what fuller ones can
  // spare, the fullest first, as long as that brings the ratios nearer.
  void Balance() {
    while (true) {
      int to = 0;
      for (int s = 1; s < kSplitCount; ++s) {
        if (ratios_[s] > 0 && room_[s] > room_[to]) to = s;
      }
      size_t best = split_.size();
      double best_gain = -1e18;
      for (size_t image = 0; image < split_.size(); ++image) {
        const int from = split_[image];
        if (room_[to] - room_[from] <= 1 || (from != 2 && !CanLeave(image, from))) continue;
        const double gain = Surplus(image, from) - Surplus(image, to) - 1e6 * room_[from];
        if (gain > best_gain) best = image, best_gain = gain;
      }
      if (best == split_.size()) return;
      Put(best, to);
    }
  }

  void MendEmpty() {
    if (ratios_[1] <= 0 || split_.size() < 2) return;
    const auto of = [&](int s) { return std::count(split_.begin(), split_.end(), s); };
    for (const auto& [to, from] : {std::pair{1, 0}, {0, 1}}) {
      if (of(to) == 0 && of(from) > 1) Put(static_cast<size_t>(std::find(split_.begin(), split_.end(), from) - split_.begin()), to);
    }
  }

  const std::vector<std::vector<int>>& classes_;
  const std::array<double, kSplitCount> ratios_;
  std::array<double, kSplitCount> room_{};         // images a split may still take to keep its ratio
  std::map<int, std::vector<size_t>> images_of_;   // class id -> its images, shuffled
  std::map<int, Counts> count_;                    // class id -> its images by split
  std::vector<size_t> backgrounds_;
  std::vector<int> split_;
};

}  // namespace

std::vector<SplitName> Stratify(const std::vector<std::vector<int>>& classes, const std::array<double, kSplitCount>& ratios,
                                uint64_t seed) {
  return Dealer(classes, ratios, seed).Deal();
}

}  // namespace yoke::engine
