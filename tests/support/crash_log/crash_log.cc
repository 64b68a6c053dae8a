#include "tests/support/crash_log/crash_log.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace yoke::crash_log {
namespace {

void ApplyName(const Op& op, std::map<std::string, uint64_t>& names) {
  switch (op.kind) {
    case Op::kCreate:
      names[op.name] = op.inode;
      break;
    case Op::kUnlink:
      names.erase(op.name);
      break;
    case Op::kRename:
      if (const auto found = names.find(op.name); found != names.end()) {
        names[op.new_name] = found->second;
        names.erase(op.name);
      }
      break;
    default:
      break;
  }
}

// The bytes [from, from + size) of a file are in `piece`; they become what `op` makes of them.
void ApplyToPiece(const Op& op, int64_t from, std::string& piece) {
  const int64_t size = static_cast<int64_t>(piece.size());
  if (op.kind == Op::kTruncate) {
    for (int64_t i = std::max<int64_t>(0, op.offset - from); i < size; ++i)
      piece[static_cast<size_t>(i)] = '\0';
    return;
  }
  const int64_t begin = std::max(from, op.offset),
                end = std::min(from + size, op.offset + static_cast<int64_t>(op.bytes.size()));
  for (int64_t at = begin; at < end; ++at)
    piece[static_cast<size_t>(at - from)] = op.bytes[static_cast<size_t>(at - op.offset)];
}

size_t SizeAfter(const Op& op, size_t size) {
  if (op.kind == Op::kTruncate) return static_cast<size_t>(op.offset);
  return std::max(size, static_cast<size_t>(op.offset) + op.bytes.size());
}

void Apply(const Op& op, std::string& content) {
  content.resize(SizeAfter(op, content.size()));
  if (op.kind == Op::kWrite)
    content.replace(static_cast<size_t>(op.offset), op.bytes.size(), op.bytes);
}

}  // namespace

Disk::Disk(const Log& log) : log_(log), durable_names_(log.names) {
  for (const auto& [inode, content] : log.contents) files_[inode].durable = content;
}

void Disk::AdvanceTo(size_t position) {
  for (; position_ < position; ++position_) {
    const Op& op = log_.ops[position_];
    switch (op.kind) {
      case Op::kWrite:
      case Op::kTruncate:
        files_[op.inode].pending.push_back(&op);
        break;
      case Op::kSync: {
        File& file = files_[op.inode];
        for (const Op* pending : file.pending) Apply(*pending, file.durable);
        file.pending.clear();
        break;
      }
      case Op::kCreate:
        files_[op.inode] = {};
        [[fallthrough]];
      case Op::kRename:
      case Op::kUnlink:
        pending_names_.push_back(&op);
        break;
      case Op::kSyncFolder:
        for (const Op* pending : pending_names_) ApplyName(*pending, durable_names_);
        pending_names_.clear();
        break;
    }
  }
}

std::string Disk::Content(const File& file, int mode, std::mt19937_64& random) const {
  std::string content = file.durable;
  if (mode == 0) return content;
  if (mode == 1) {
    for (const Op* op : file.pending) Apply(*op, content);
    return content;
  }
  const int64_t piece_size = mode == 2 ? 4096 : 512;
  const auto some = [&] { return random() % (file.pending.size() + 1); };
  size_t size = content.size();
  for (size_t i = 0, kept = some(); i < kept; ++i) size = SizeAfter(*file.pending[i], size);
  std::map<int64_t, size_t> touched;  // piece -> how many of the operations it has seen
  for (const Op* op : file.pending) {
    const int64_t end = op->kind == Op::kTruncate
                            ? static_cast<int64_t>(size)
                            : op->offset + static_cast<int64_t>(op->bytes.size());
    for (int64_t piece = op->offset / piece_size; piece * piece_size < end; ++piece)
      touched.emplace(piece, 0);
  }
  content.resize(size);
  for (auto& [piece, seen] : touched) {
    seen = some();
    const int64_t from = piece * piece_size;
    std::string bytes(static_cast<size_t>(piece_size), '\0');
    if (from < static_cast<int64_t>(file.durable.size())) {
      const size_t there = std::min(bytes.size(), file.durable.size() - static_cast<size_t>(from));
      bytes.replace(0, there, file.durable, static_cast<size_t>(from), there);
    }
    for (size_t i = 0; i < seen; ++i) ApplyToPiece(*file.pending[i], from, bytes);
    if (from < static_cast<int64_t>(size)) {
      const size_t there = std::min(bytes.size(), size - static_cast<size_t>(from));
      content.replace(static_cast<size_t>(from), there, bytes, 0, there);
    }
  }
  return content;
}

void Disk::WriteImage(const std::string& folder, uint64_t seed) const {
  std::mt19937_64 random(seed);
  const int mode = static_cast<int>(random() % 4);
  std::map<std::string, uint64_t> names = durable_names_;
  const size_t kept = mode == 0   ? 0
                      : mode == 1 ? pending_names_.size()
                                  : random() % (pending_names_.size() + 1);
  for (size_t i = 0; i < kept; ++i) ApplyName(*pending_names_[i], names);
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  for (const auto& [name, inode] : names) {
    const auto file = files_.find(inode);
    if (file != files_.end())
      std::ofstream(folder + "/" + name, std::ios::binary) << Content(file->second, mode, random);
  }
}

}  // namespace yoke::crash_log
