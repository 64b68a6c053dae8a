// Protocol buffer messages, written without the protobuf library (which LibTorch's headers would
// shadow).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace yoke::engine {

// A message in proto3's wire format, field by field. Everything given is written, zeros too:
// members of a oneof need them, and readers of other fields do not mind.
class WireMessage {
 public:
  // int32, int64, uint32, bool or enum.
  WireMessage& Int(int field, int64_t value);
  WireMessage& Double(int field, double value);
  WireMessage& Float(int field, float value);
  WireMessage& Bytes(int field, std::string_view bytes);
  // What is no UTF-8 in it becomes U+FFFD: readers refuse a whole message for one bad byte.
  WireMessage& Text(int field, std::string_view text);
  WireMessage& Message(int field, const WireMessage& message);

  const std::string& bytes() const { return bytes_; }

 private:
  void Tag(int field, int type);
  void Varint(uint64_t value);

  std::string bytes_;
};

}  // namespace yoke::engine
