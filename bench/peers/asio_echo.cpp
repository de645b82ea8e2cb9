// The peer in C++: a straightforward echo server on standalone Asio, one thread, with FastPort's
// wire. One buffer for a largest frame a session; all whole frames of one read go back in one write.
// Built by `compare` where the system has g++ and libasio-dev.

#include <asio.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>

using asio::ip::tcp;

constexpr std::size_t header_bytes = 4;
constexpr std::uint16_t raw_echo = 0x0002;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

  void read() {
    auto self = shared_from_this();
    socket_.async_read_some(
        asio::buffer(input_.data() + filled_, input_.size() - filled_),
        [self](std::error_code error, std::size_t count) {
          if (!error) self->received(count);
        });
  }

 private:
  void received(std::size_t count) {
    filled_ += count;
    std::size_t whole = 0;
    while (filled_ - whole >= header_bytes) {
      const auto size = number(whole);
      if (size < header_bytes || number(whole + 2) != raw_echo) return;
      if (filled_ - whole < size) break;
      whole += size;
    }
    if (whole == 0) return read();
    auto self = shared_from_this();
    asio::async_write(socket_, asio::buffer(input_.data(), whole),
                      [self, whole](std::error_code error, std::size_t) {
                        if (!error) self->sent(whole);
                      });
  }

  void sent(std::size_t whole) {
    filled_ -= whole;
    std::memmove(input_.data(), input_.data() + whole, filled_);
    read();
  }

  // 16 bits, big-endian.
  std::size_t number(std::size_t at) const {
    return (std::size_t{input_[at]} << 8) | input_[at + 1];
  }

  tcp::socket socket_;
  std::array<unsigned char, 65536> input_;
  std::size_t filled_ = 0;
};

void accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true), error);
      // Without initialising the buffer: a page is taken when bytes come.
      std::shared_ptr<Session>(new Session(std::move(socket)))->read();
    }
    accept(acceptor);
  });
}

int main(int count, char** words) {
  if (count != 3 || std::string(words[1]) != "--listen") {
    std::cerr << "usage: peer-asio --listen ADDRESS:PORT\n";
    return 2;
  }
  try {
    const std::string where = words[2];
    const auto colon = where.rfind(':');
    const auto port = static_cast<unsigned short>(std::stoul(where.substr(colon + 1)));
    asio::io_context context(1);
    tcp::acceptor acceptor(context,
                           {asio::ip::make_address(where.substr(0, colon)), port});
    acceptor.listen(4096);
    std::cout << "listening on " << acceptor.local_endpoint() << std::endl;
    accept(acceptor);
    context.run();
  } catch (const std::exception& error) {
    std::cerr << "peer-asio: " << error.what() << '\n';
    return 1;
  }
}
