#include "services/common/grpc/peer.h"

#include <catch2/catch.hpp>

namespace stockalert::rpc {
namespace {

TEST_CASE("an IP address has one form, and other text is refused") {
  struct Row {
    std::string text;
    std::string normal;  // Empty: none.
  };
  const Row rows[] = {{"192.0.2.1", "192.0.2.1"},
                      {"::1", "::1"},
                      {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
                      {"::ffff:192.0.2.1", "192.0.2.1"},
                      {"::FFFF:c000:0201", "192.0.2.1"},
                      {"fe80::1%eth0", "fe80::1"},
                      {"", ""},
                      {"192.0.2", ""},
                      {"192.0.2.256", ""},
                      {"192.0.2.1:80", ""},
                      {"192.0.2.01x", ""},
                      {"192.0.2.1%eth0", ""},
                      {"fe80::1%", ""},
                      {"[::1]", ""},
                      {"1::2::3", ""},
                      {"example.com", ""},
                      {" 192.0.2.1", ""},
                      {std::string("192.0.2.1\0", 10), ""},
                      {std::string(5000, '1'), ""}};
  for (const Row& row : rows) {
    INFO(row.text);
    const std::optional<IpAddress> address = IpAddress::Parse(row.text);
    CHECK(address.has_value() == !row.normal.empty());
    if (address) CHECK(address->ToString() == row.normal);
  }
}

TEST_CASE("an address is cut to its network, and has a narrow and a wide one") {
  CHECK(IpAddress::Parse("192.0.2.200")->Network(24) == "192.0.2.0/24");
  CHECK(IpAddress::Parse("192.0.2.200")->Network(28) == "192.0.2.192/28");
  CHECK(IpAddress::Parse("192.0.2.200")->Network(0) == "0.0.0.0/0");
  CHECK(IpAddress::Parse("192.0.2.200")->Network(99) == "192.0.2.200/32");
  CHECK(IpAddress::Parse("2001:db8:1:2:3:4:5:6")->Network(64) == "2001:db8:1:2::/64");
  CHECK(IpAddress::Parse("2001:db8:1:ffff::")->Network(50) == "2001:db8:1:c000::/50");
  const ClientNetworks v6 = NetworksOf("2001:db8:1:2:3:4:5:6");
  CHECK(v6.narrow == "2001:db8:1:2::/64");
  CHECK(v6.wide == "2001:db8:1::/48");
  CHECK(NetworksOf("192.0.2.9").narrow == "192.0.2.9/32");
  CHECK(NetworksOf("192.0.2.9").wide == "192.0.2.0/24");
  // All of IPv4 is not one /64 of IPv6.
  CHECK(NetworksOf("::ffff:192.0.2.9").narrow == "192.0.2.9/32");
  CHECK(NetworksOf("unix:/run/x").narrow == "unix:/run/x");
}

TEST_CASE("the address is read from gRPC's name of a peer") {
  struct Row {
    std::string peer;
    std::string address;
  };
  const Row rows[] = {{"ipv4:127.0.0.1:41234", "127.0.0.1"},
                      {"ipv6:[2001:db8::1]:443", "2001:db8::1"},
                      {"ipv6:%5B2001:db8::1%5D:443", "2001:db8::1"},
                      {"ipv6:%5Bfe80::1%25eth0%5D:443", "fe80::1"},
                      {"ipv6:%5B::ffff:192.0.2.1%5D:443", "192.0.2.1"},
                      {"unix:/run/stockalert.sock", ""},
                      {"", ""},
                      {"ipv4:", ""},
                      {"ipv4:hostname:1", ""},
                      {"ipv6:%5B", ""}};
  for (const Row& row : rows) {
    INFO(row.peer);
    const std::optional<IpAddress> address = AddressOfPeer(row.peer);
    CHECK((address ? address->ToString() : "") == row.address);
  }
}

TEST_CASE("X-Forwarded-For is believed as far as trusted proxies wrote it") {
  const TrustedProxies trusted = *TrustedProxies::Parse("10.0.0.0/8, 192.0.2.7,2001:db8:ffff::/48");
  struct Row {
    const char* name;
    std::string peer;
    std::string forwarded_for;
    std::string client;
  };
  const Row rows[] = {
      {"nobody in between", "ipv4:198.51.100.1:1", "", "198.51.100.1"},
      {"a stranger's word", "ipv4:198.51.100.1:1", "203.0.113.9", "198.51.100.1"},
      {"a proxy's word", "ipv4:10.1.2.3:1", "203.0.113.9", "203.0.113.9"},
      {"a proxy that says nothing", "ipv4:10.1.2.3:1", "", "10.1.2.3"},
      {"what a client wrote before the proxy did", "ipv4:10.1.2.3:1", "6.6.6.6, 203.0.113.9", "203.0.113.9"},
      {"a client that writes as if it were a proxy", "ipv4:10.1.2.3:1", "6.6.6.6, 10.9.9.9, 203.0.113.9",
       "203.0.113.9"},
      {"two proxies", "ipv4:10.1.2.3:1", "6.6.6.6,203.0.113.9,10.4.4.4", "203.0.113.9"},
      {"proxies alone", "ipv4:10.1.2.3:1", "10.5.5.5, 192.0.2.7", "10.5.5.5"},
      {"one that is nearly trusted", "ipv4:192.0.2.8:1", "203.0.113.9", "192.0.2.8"},
      {"IPv6 all the way", "ipv6:%5B2001:db8:ffff::1%5D:9", "[2001:db8:1::5]:4711", "2001:db8:1::5"},
      {"IPv6 without brackets", "ipv4:10.1.2.3:1", "2001:db8:1::5", "2001:db8:1::5"},
      {"a proxy in IPv6's clothes", "ipv6:%5B::ffff:10.1.2.3%5D:9", "203.0.113.9", "203.0.113.9"},
      {"a client in IPv6's clothes", "ipv4:10.1.2.3:1", "::ffff:203.0.113.9", "203.0.113.9"},
      {"with a port", "ipv4:10.1.2.3:1", "203.0.113.9:55555", "203.0.113.9"},
      {"in quotes", "ipv4:10.1.2.3:1", "\"[2001:db8:1::5]\"", "2001:db8:1::5"},
      {"garbage from a proxy", "ipv4:10.1.2.3:1", "203.0.113.9, unknown", "10.1.2.3"},
      {"garbage from a client", "ipv4:10.1.2.3:1", "\xff\x01 ; drop, 203.0.113.9", "203.0.113.9"},
      {"an empty entry", "ipv4:10.1.2.3:1", "203.0.113.9,", "10.1.2.3"},
      {"commas alone", "ipv4:10.1.2.3:1", ",,,,", "10.1.2.3"},
      {"a bad port", "ipv4:10.1.2.3:1", "203.0.113.9:http", "10.1.2.3"},
      {"half a bracket", "ipv4:10.1.2.3:1", "[2001:db8::1", "10.1.2.3"},
      {"no address at all", "unix:/run/x", "203.0.113.9", "unix:/run/x"},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    CHECK(ClientAddress(row.peer, row.forwarded_for, trusted) == row.client);
  }
  // Without an end, also where every entry is trusted.
  std::string hops = "203.0.113.9";
  for (int i = 0; i < 100'000; ++i) hops += ",10.0.0.1";
  CHECK(ClientAddress("ipv4:10.1.2.3:1", hops, trusted) == "10.0.0.1");
  // Nobody is trusted who was not named.
  CHECK(ClientAddress("ipv4:127.0.0.1:1", "203.0.113.9", TrustedProxies()) == "127.0.0.1");
}

TEST_CASE("networks of proxies are read strictly") {
  for (const char* good : {"", "10.0.0.0/8", "0.0.0.0/0", "::/0", "192.0.2.1", "192.0.2.1/32", "2001:db8::/32, ::1",
                           " 10.0.0.0/8 ,127.0.0.1"}) {
    INFO(good);
    CHECK(TrustedProxies::Parse(good).ok());
  }
  for (const char* bad : {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.1/8", "2001:db8::1/64",
                          "example.com", "10.0.0.0/8,,::1", "10.0.0.0/8;::1", "[::1]", "::1/129", "/8"}) {
    INFO(bad);
    CHECK(TrustedProxies::Parse(bad).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace stockalert::rpc
