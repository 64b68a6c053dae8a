// Which epoch is the best so far, and whether waiting for a better one has lasted long enough.
#pragma once

namespace yoke::engine {

class EarlyStop {
 public:
  // `patience`: epochs without a better fitness; 0: never stop. `best_on_tie`: an
  // equal fitness restarts the patience; else only while the best is 0.
  EarlyStop(int patience, bool best_on_tie) : patience_(patience), best_on_tie_(best_on_tie) {}

  // After an epoch (1-based). True if it is the best so far, so that its weights are.
  bool Record(int epoch, double fitness) {
    const bool better = fitness > best_fitness_ || best_epoch_ == 0;
    const bool equal = fitness == best_fitness_;
    if (better || (equal && (best_on_tie_ || best_fitness_ == 0))) best_epoch_ = epoch;
    if (better) best_fitness_ = fitness;
    return better || equal;
  }
  bool ShouldStop(int epoch) const { return patience_ > 0 && epoch - best_epoch_ >= patience_; }

  void Restore(int best_epoch, double best_fitness) {
    best_epoch_ = best_epoch;
    best_fitness_ = best_fitness;
  }
  int best_epoch() const { return best_epoch_; }  // 0: none yet
  double best_fitness() const { return best_fitness_; }

 private:
  const int patience_;
  const bool best_on_tie_;
  int best_epoch_ = 0;
  double best_fitness_ = 0;
};

}  // namespace yoke::engine
