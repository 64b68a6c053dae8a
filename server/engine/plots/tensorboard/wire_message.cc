#include "server/engine/plots/tensorboard/wire_message.h"

#include "server/engine/plots/utf8.h"

namespace yoke::engine {
namespace {

constexpr int kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

template <typename T>
void AppendRaw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

void WireMessage::Varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
  bytes_ += static_cast<char>(value);
}

void WireMessage::Tag(int field, int type) {
  Varint(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(type));
}

WireMessage& WireMessage::Int(int field, int64_t value) {
  Tag(field, kVarint);
  Varint(static_cast<uint64_t>(value));
  return *this;
}

WireMessage& WireMessage::Double(int field, double value) {
  Tag(field, kFixed64);
  AppendRaw(bytes_, value);
  return *this;
}

WireMessage& WireMessage::Float(int field, float value) {
  Tag(field, kFixed32);
  AppendRaw(bytes_, value);
  return *this;
}

WireMessage& WireMessage::Bytes(int field, std::string_view bytes) {
  Tag(field, kBytes);
  Varint(bytes.size());
  bytes_ += bytes;
  return *this;
}

WireMessage& WireMessage::Text(int field, std::string_view text) {
  return Bytes(field, ValidUtf8(text));
}

WireMessage& WireMessage::Message(int field, const WireMessage& message) {
  return Bytes(field, message.bytes());
}

}  // namespace yoke::engine
