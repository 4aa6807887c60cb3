#include "services/notifier/delivery/egress_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <utility>

namespace stockalert::notifier {
namespace {

struct Row {
  std::string text;
  const char* why;
};

// A peer as libcurl would hand it over.
bool MayConnect(const EgressGuard& guard, const std::string& address) {
  sockaddr_storage peer = {};
  auto* ipv4 = reinterpret_cast<sockaddr_in*>(&peer);
  auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&peer);
  if (inet_pton(AF_INET, address.c_str(), &ipv4->sin_addr) == 1) {
    peer.ss_family = AF_INET;
  } else {
    REQUIRE(inet_pton(AF_INET6, address.c_str(), &ipv6->sin6_addr) == 1);
    peer.ss_family = AF_INET6;
  }
  return guard.MayConnect(*reinterpret_cast<const sockaddr*>(&peer));
}

std::string Host(const std::string& address) {
  return "https://" + (address.find(':') == std::string::npos ? address : "[" + address + "]") + "/hook";
}

const Row kRefusedAddresses[] = {
    {"0.0.0.0", "unspecified: this machine"},
    {"0.255.255.255", "this network, its last"},
    {"10.0.0.0", "private, first"},
    {"10.255.255.255", "private, last"},
    {"100.64.0.0", "shared by a provider's customers, first"},
    {"100.100.100.200", "Alibaba's metadata"},
    {"100.127.255.255", "shared by a provider's customers, last"},
    {"127.0.0.0", "loopback, first"},
    {"127.0.0.1", "loopback"},
    {"127.255.255.255", "loopback, last"},
    {"168.63.129.16", "Azure's platform"},
    {"169.254.0.0", "link-local, first"},
    {"169.254.0.23", "Tencent's metadata"},
    {"169.254.42.42", "Scaleway's metadata"},
    {"169.254.169.254", "metadata of AWS, Google, Azure, Oracle, DigitalOcean, OpenStack"},
    {"169.254.170.2", "credentials of AWS's containers"},
    {"169.254.255.255", "link-local, last"},
    {"172.16.0.0", "private, first"},
    {"172.31.255.255", "private, last"},
    {"192.0.0.0", "protocols, first"},
    {"192.0.0.192", "Oracle's metadata of old"},
    {"192.0.0.255", "protocols, last"},
    {"192.0.2.1", "documentation"},
    {"192.88.99.1", "relays of 6to4"},
    {"192.168.0.0", "private, first"},
    {"192.168.255.255", "private, last"},
    {"198.18.0.0", "benchmarks, first"},
    {"198.19.255.255", "benchmarks, last"},
    {"198.51.100.7", "documentation"},
    {"203.0.113.7", "documentation"},
    {"224.0.0.1", "multicast, first"},
    {"239.255.255.250", "multicast"},
    {"240.0.0.1", "reserved"},
    {"255.255.255.255", "broadcast"},
    {"::", "unspecified"},
    {"::1", "loopback"},
    {"::127.0.0.1", "loopback, compatible"},
    {"::8.8.8.8", "compatible: nobody uses it for good"},
    {"::ffff:127.0.0.1", "loopback, mapped"},
    {"::ffff:10.1.2.3", "private, mapped"},
    {"::ffff:169.254.169.254", "metadata, mapped"},
    {"::ffff:0:127.0.0.1", "loopback, translated"},
    {"64:ff9b::127.0.0.1", "loopback by NAT64"},
    {"64:ff9b::10.0.0.1", "private by NAT64"},
    {"64:ff9b::a9fe:a9fe", "metadata by NAT64"},
    {"64:ff9b:1::1", "local NAT64"},
    {"64:ff9b:1:ffff:ffff:ffff:808:808", "local NAT64, of a public address"},
    {"64:ff9b:2::808:808", "no prefix of NAT64"},
    {"64:ff9b:0:1::808:808", "beyond NAT64's 96 bits"},
    {"64:ff9b::1:808:808", "beyond NAT64's 96 bits by one"},
    {"100::1", "discarded"},
    {"2001::1", "Teredo"},
    {"2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo, of a server on the Internet"},
    {"2001:2::1", "benchmarks"},
    {"2001:10::1", "ORCHID"},
    {"2001:20::1", "ORCHID, the second"},
    {"2001:1ff:ffff::1", "protocols, last"},
    {"2001:db8::1", "documentation"},
    {"2002:7f00:1::1", "loopback by 6to4"},
    {"2002:a9fe:a9fe::1", "metadata by 6to4"},
    {"2002:808:808::1", "6to4 of a public address"},
    {"3fff::1", "documentation, the second"},
    {"3fff:fff:ffff::1", "documentation, the second, last"},
    {"4000::1", "not given out"},
    {"5f00::1", "segment routing"},
    {"fc00::1", "unique local, first"},
    {"fd00:ec2::254", "AWS's metadata"},
    {"fd20:ce::254", "Google's metadata"},
    {"fdff:ffff::1", "unique local, last"},
    {"fe80::1", "link-local"},
    {"fe80::a9fe:a9fe", "OpenStack's metadata"},
    {"febf::1", "link-local, last"},
    {"fec0::1", "site-local"},
    {"ff02::1", "multicast"},
    {"2606:4700::5efe:10.0.0.1", "private by ISATAP"},
    {"2606:4700::200:5efe:127.0.0.1", "loopback by ISATAP, of a unique identifier"},
};

const Row kAllowedAddresses[] = {
    {"1.0.0.0", "after this network"},
    {"1.1.1.1", "the Internet"},
    {"8.8.8.8", "the Internet"},
    {"9.255.255.255", "before the private ones"},
    {"11.0.0.0", "after the private ones"},
    {"100.63.255.255", "before the shared ones"},
    {"100.128.0.0", "after the shared ones"},
    {"126.255.255.255", "before loopback"},
    {"128.0.0.0", "after loopback"},
    {"168.63.129.15", "before Azure's platform"},
    {"168.63.129.17", "after Azure's platform"},
    {"169.253.255.255", "before link-local"},
    {"169.255.0.0", "after link-local"},
    {"172.15.255.255", "before the private ones"},
    {"172.32.0.0", "after the private ones"},
    {"192.0.1.0", "after protocols"},
    {"192.167.255.255", "before the private ones"},
    {"192.169.0.0", "after the private ones"},
    {"198.17.255.255", "before benchmarks"},
    {"198.20.0.0", "after benchmarks"},
    {"223.255.255.255", "before multicast"},
    {"::ffff:8.8.8.8", "the Internet, mapped"},
    {"64:ff9b::8.8.8.8", "the Internet by NAT64"},
    {"2001:200::1", "after protocols"},
    {"2001:4860:4860::8888", "the Internet"},
    {"2001:db7:ffff::1", "before documentation"},
    {"2001:db9::1", "after documentation"},
    {"2003::1", "after 6to4"},
    {"2606:4700:4700::1111", "the Internet"},
    {"2606:4700::5efe:8.8.8.8", "the Internet by ISATAP"},
    {"2a00:1450:4001:82a::200e", "the Internet"},
    {"3ffe:ffff::1", "before documentation, the second"},
};

const Row kRefusedUrls[] = {
    // Numbers in other notations, as libc reads them.
    {"https://2130706433/", "127.0.0.1 in one decimal"},
    {"https://017700000001/", "127.0.0.1 in one octal"},
    {"https://0x7f000001/", "127.0.0.1 in one hexadecimal"},
    {"https://0X7F000001/", "the same in capitals"},
    {"https://127.1/", "127.0.0.1 in two parts"},
    {"https://127.0.1/", "127.0.0.1 in three parts"},
    {"https://0/", "0.0.0.0 in one part"},
    {"https://0x0/", "0.0.0.0 in one hexadecimal"},
    {"https://0177.0.0.1/", "127.0.0.1, its first part octal"},
    {"https://0x7f.1/", "127.0.0.1 in two parts, one hexadecimal"},
    {"https://127.0x0.00.01/", "127.0.0.1 of mixed parts"},
    {"https://10.0xffffff/", "10.255.255.255 in two parts"},
    {"https://172.1114113/", "172.17.0.1 in two parts"},
    {"https://192.168.257/", "192.168.1.1 in three parts"},
    {"https://0xa9fea9fe/", "the metadata in hexadecimal"},
    {"https://2852039166/", "the metadata in decimal"},
    {"https://0251.0376.0251.0376/", "the metadata in octal"},
    {"https://000000000000000000177.0.0.1/", "127.0.0.1 with many zeros"},
    {"https://4294967296/", "a number of more than 32 bits, which some readers wrap to 0"},
    {"https://18446744073709551617/", "a number of more than 64 bits, which wraps to 1"},
    {"https://4429711368/", "a number of more than 32 bits, which some readers wrap to 8.8.8.8"},
    {"https://18446744073844295688/", "a number of more than 64 bits, which wraps to 8.8.8.8"},
    {"https://0x100000000000000008080808/", "the same in hexadecimal"},
    {"https://256.1.1.1/", "a part of more than a byte"},
    {"https://1.1.1.256/", "a last part of more than a byte"},
    {"https://1.1.65536/", "a last part of more than two bytes"},
    {"https://08.8.8.8/", "an octal that is none"},
    {"https://0x.1.1.1/", "a hexadecimal without digits"},
    {"https://1.1.1.0x/", "a hexadecimal without digits at the end"},
    {"https://1.2.3.4.5/", "five parts"},
    {"https://8.8.8.8.0/", "five parts, of which the last is nothing"},
    {"https://0.8.8.8.8/", "five parts, of which the first is nothing"},
    {"https://example.1/", "a name that ends with a number"},
    {"https://example.0x7f/", "a name that ends with a hexadecimal"},
    {"https://127.0.0.1./", "loopback with a dot at its end"},
    {"https://2130706433./", "127.0.0.1 in decimal with a dot at its end"},
    // IPv6.
    {"https://[::1]/", "loopback"},
    {"https://[0:0:0:0:0:0:0:1]/", "loopback, in full"},
    {"https://[::ffff:127.0.0.1]/", "mapped loopback"},
    {"https://[::ffff:7f00:1]/", "mapped loopback in hexadecimal"},
    {"https://[::FFFF:7F00:1]/", "the same in capitals"},
    {"https://[64:ff9b::7f00:1]/", "loopback by NAT64"},
    {"https://[fe80::1%25eth0]/", "a zone"},
    {"https://[fe80::1%eth0]/", "a zone, not encoded"},
    {"https://[2606:4700:4700::1111%251]/", "a zone on an address of the Internet"},
    {"https://[::1/", "a bracket that does not close"},
    {"https://::1]/", "a bracket that does not open"},
    {"https://::1/", "IPv6 without brackets"},
    {"https://[]/", "empty brackets"},
    {"https://[/", "a bracket alone"},
    {"https://[v1.fe80::1]/", "an address of a future form"},
    {"https://[127.0.0.1]/", "IPv4 in brackets"},
    {"https://[example.com]/", "a name in brackets"},
    {"https://[2606:4700:4700::1111]x/", "something behind the bracket"},
    {"https://[::1]:443/", "loopback with a port"},
    // Names.
    {"https://localhost/", "this machine"},
    {"https://LOCALHOST/", "in capitals"},
    {"https://localhost./", "with a dot at its end"},
    {"https://foo.localhost/", "below localhost"},
    {"https://localhost.localdomain/", "this machine, the long way"},
    {"https://metadata.google.internal/", "Google's metadata by name"},
    {"https://metadata.google.internal./", "the same with a dot at its end"},
    {"https://instance-data.ec2.internal/", "AWS's metadata by name"},
    {"https://metadata/", "Google's metadata by its short name"},
    {"https://postgres/", "a service of the same network by its short name"},
    {"https://user.stockalert.svc/", "a service of the cluster"},
    {"https://user.stockalert.svc.cluster.local/", "a service of the cluster in full"},
    {"https://printer.local/", "a name of the link"},
    {"https://nas.home.arpa/", "a name of a home"},
    {"https://wiki.corp/", "a name of a company"},
    {"https://router.lan/", "a name of a network"},
    {"https:///hook", "no host"},
    {"https://", "nothing behind the scheme"},
    {"https://./", "a dot alone"},
    {"https://example..com/", "an empty label"},
    {"https://.example.com/", "a dot at the beginning"},
    {"https://example.com../", "two dots at the end"},
    {"https://-example.com/", "a label that begins with a hyphen"},
    {"https://example-.com/", "a label that ends with a hyphen"},
    {"https://" + std::string(64, 'a') + ".com/", "a label of 64"},
    {"https://" + std::string(60, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') + "." +
         std::string(63, 'd') + ".com/",
     "a name of 256"},
    // IDN and other tricks of characters.
    {"https://ex\xc3\xa4mple.com/", "a letter beyond ASCII"},
    {"https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", "circled digits, which some readers fold to 127"},
    {"https://127\xe3\x80\x82"
     "0.0.1/",
     "an ideographic full stop, which some readers fold to a dot"},
    {"https://loc\xd0\xb0lhost/", "a Cyrillic letter"},
    {"https://local\xc2\xadhost/", "a soft hyphen, which some readers leave out"},
    {"https://%31%32%37.0.0.1/", "a host in percent-encoding"},
    {"https://127%2e0%2e0%2e1/", "dots in percent-encoding"},
    {"https://example.com%2f@127.0.0.1/", "a slash in percent-encoding before an at"},
    {"https://example.com%00.evil.com/", "NUL in percent-encoding within the host"},
    {"https://exam ple.com/", "a space in the host"},
    {"https://example.com/a b", "a space in the path"},
    {" https://example.com/", "a space before it"},
    {"https://example.com/\n", "a line break at its end"},
    {"https://example.com/\r\nX-Evil: 1", "another header in it"},
    {"https://example.com/\t", "a tab"},
    {std::string("https://example.com/\0x", 22), "NUL"},
    {"https://example.com/\x7f", "DEL"},
    {"https://example.com/\xff", "no UTF-8"},
    {"https://example.com\\@127.0.0.1/", "a backslash, which some readers take for a slash"},
    {"https:\\\\example.com\\", "backslashes all along"},
    {"https://example.com/\"quoted\"", "quotes"},
    // User information, fragments, schemes.
    {"https://user@example.com/", "a user"},
    {"https://user:password@example.com/", "a user with a password"},
    {"https://example.com@127.0.0.1/", "a name as user"},
    {"https://example.com:443@127.0.0.1/", "a name and a port as user"},
    {"https://@example.com/", "an empty user"},
    {"https://127.0.0.1#@example.com/", "a fragment before an at"},
    {"https://example.com/#part", "a fragment"},
    {"https://example.com#", "an empty fragment"},
    {"http://example.com/", "no TLS"},
    {"HTTP://example.com/", "no TLS, in capitals"},
    {"ftp://example.com/", "another scheme"},
    {"file:///etc/passwd", "a file"},
    {"gopher://127.0.0.1:6379/_FLUSHALL", "a scheme that says anything to anybody"},
    {"javascript:alert(1)", "a script"},
    {"//example.com/", "no scheme"},
    {"example.com/hook", "no scheme and no slashes"},
    {"https:example.com", "no slashes"},
    {"https:/example.com", "one slash"},
    {"https:////example.com", "an empty authority"},
    {"https://?host=example.com", "a query for a host"},
    {"", "nothing"},
    {"https://example.com/" + std::string(kDestinationUrlBytesMax - 19, 'a'), "2001 characters"},
    // Ports.
    {"https://example.com:/", "an empty port"},
    {"https://example.com:0/", "port 0"},
    {"https://example.com:22/", "SSH"},
    {"https://example.com:25/", "SMTP"},
    {"https://example.com:53/", "DNS"},
    {"https://example.com:5432/", "Postgres"},
    {"https://example.com:6379/", "Redis"},
    {"https://example.com:9092/", "Kafka"},
    {"https://example.com:11211/", "memcached"},
    {"https://example.com:0022/", "SSH with zeros"},
    {"https://example.com:65536/", "more than 16 bits"},
    {"https://example.com:65558/", "more than 16 bits, which wraps to 22"},
    {"https://example.com:99999999999999999999/", "more than 64 bits"},
    {"https://example.com:000443/", "more digits than a port has"},
    {"https://example.com:-1/", "below 0"},
    {"https://example.com:+443/", "a sign"},
    {"https://example.com:0x1bb/", "a port in hexadecimal"},
    {"https://example.com:443:443/", "two ports"},
    {"https://example.com:https/", "a port by name"},
};

struct Good {
  std::string text;
  std::string url;
  std::string host;
  int port;
  std::string shown;
};

const Good kGoodUrls[] = {
    {"https://example.com", "https://example.com/", "example.com", 443, "https://example.com/"},
    {"https://example.com/", "https://example.com/", "example.com", 443, "https://example.com/"},
    {"HTTPS://Example.COM/Hook", "https://example.com/Hook", "example.com", 443, "https://example.com/…"},
    {"https://example.com./x", "https://example.com/x", "example.com", 443, "https://example.com/…"},
    {"https://example.com:443/x", "https://example.com/x", "example.com", 443, "https://example.com/…"},
    {"https://example.com:00443/x", "https://example.com/x", "example.com", 443, "https://example.com/…"},
    {"https://example.com:8443/x?k=v", "https://example.com:8443/x?k=v", "example.com", 8443,
     "https://example.com:8443/…"},
    {"https://example.com:80/", "https://example.com:80/", "example.com", 80, "https://example.com:80/"},
    {"https://example.com:65535/", "https://example.com:65535/", "example.com", 65535, "https://example.com:65535/"},
    {"https://example.com?token=secret", "https://example.com/?token=secret", "example.com", 443,
     "https://example.com/…"},
    {"https://hooks.example.com/services/T0/B0/secret", "https://hooks.example.com/services/T0/B0/secret",
     "hooks.example.com", 443, "https://hooks.example.com/…"},
    {"https://example.com/a@b:c", "https://example.com/a@b:c", "example.com", 443, "https://example.com/…"},
    {"https://example.com/?to=a@b", "https://example.com/?to=a@b", "example.com", 443, "https://example.com/…"},
    {"https://example.com?to=https://127.0.0.1/", "https://example.com/?to=https://127.0.0.1/", "example.com", 443,
     "https://example.com/…"},
    {"https://example.com/%0d%0a", "https://example.com/%0d%0a", "example.com", 443, "https://example.com/…"},
    {"https://xn--exmple-cua.com/", "https://xn--exmple-cua.com/", "xn--exmple-cua.com", 443,
     "https://xn--exmple-cua.com/"},
    {"https://under_score.example.com/", "https://under_score.example.com/", "under_score.example.com", 443,
     "https://under_score.example.com/"},
    {"https://1.example.com/", "https://1.example.com/", "1.example.com", 443, "https://1.example.com/"},
    {"https://127.0.0.1.example.com/", "https://127.0.0.1.example.com/", "127.0.0.1.example.com", 443,
     "https://127.0.0.1.example.com/"},
    {"https://0x7g.com/", "https://0x7g.com/", "0x7g.com", 443, "https://0x7g.com/"},
    {"https://notlocalhost.com/", "https://notlocalhost.com/", "notlocalhost.com", 443, "https://notlocalhost.com/"},
    {"https://internal.example.com/", "https://internal.example.com/", "internal.example.com", 443,
     "https://internal.example.com/"},
    {"https://8.8.8.8/", "https://8.8.8.8/", "8.8.8.8", 443, "https://8.8.8.8/"},
    {"https://134744072/", "https://8.8.8.8/", "8.8.8.8", 443, "https://8.8.8.8/"},
    {"https://010.8.8.8/", "https://8.8.8.8/", "8.8.8.8", 443, "https://8.8.8.8/"},
    {"https://0x8.0x80808:8443/x", "https://8.8.8.8:8443/x", "8.8.8.8", 8443, "https://8.8.8.8:8443/…"},
    {"https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/", "2606:4700:4700::1111", 443,
     "https://[2606:4700:4700::1111]/"},
    {"https://[2606:4700:4700:0:0:0:0:1111]:8443/x", "https://[2606:4700:4700::1111]:8443/x", "2606:4700:4700::1111",
     8443, "https://[2606:4700:4700::1111]:8443/…"},
    {"https://[::ffff:8.8.8.8]/", "https://8.8.8.8/", "8.8.8.8", 443, "https://8.8.8.8/"},
};

TEST_CASE("addresses that are not public are refused at the connection and in URLs") {
  const EgressGuard guard;
  for (const Row& row : kRefusedAddresses) {
    INFO(row.text << ": " << row.why);
    CHECK_FALSE(MayConnect(guard, row.text));
    CHECK(absl::IsPermissionDenied(guard.ParseUrl(Host(row.text)).status()));
  }
}

TEST_CASE("public addresses are allowed at the connection and in URLs") {
  const EgressGuard guard;
  for (const Row& row : kAllowedAddresses) {
    INFO(row.text << ": " << row.why);
    CHECK(MayConnect(guard, row.text));
    CHECK(guard.ParseUrl(Host(row.text)).ok());
  }
}

TEST_CASE("a peer that is neither IPv4 nor IPv6 is refused, whatever is allowed") {
  const EgressGuard guard = EgressGuard::Create("0.0.0.0/0,::/0", true).value();
  sockaddr_storage peer = {};
  peer.ss_family = AF_UNIX;
  CHECK_FALSE(guard.MayConnect(*reinterpret_cast<const sockaddr*>(&peer)));
  peer.ss_family = AF_UNSPEC;
  CHECK_FALSE(guard.MayConnect(*reinterpret_cast<const sockaddr*>(&peer)));
}

TEST_CASE("a forbidden URL is refused with an error that does not quote it") {
  const EgressGuard guard;
  for (const Row& row : kRefusedUrls) {
    INFO(row.text << ": " << row.why);
    const absl::Status status = guard.ParseUrl(row.text).status();
    CHECK((absl::IsPermissionDenied(status) || absl::IsInvalidArgument(status)));
    CHECK_FALSE(status.message().empty());
    if (row.text.size() > 10) CHECK(std::string(status.message()).find(row.text.substr(8)) == std::string::npos);
  }
}

TEST_CASE("forbidden addresses and malformed URLs are refused with different reasons") {
  const EgressGuard guard;
  for (const char* url : {"https://2130706433/", "https://[::1]/", "https://localhost/", "https://postgres/",
                          "https://example.com:22/"}) {
    INFO(url);
    CHECK(absl::IsPermissionDenied(guard.ParseUrl(url).status()));
  }
  for (const char* url : {"", "https://", "http://example.com/", "https://a@example.com/", "https://example.com/#a",
                          "https://1.2.3.4.5/", "https://example.com:65536/"}) {
    INFO(url);
    CHECK(absl::IsInvalidArgument(guard.ParseUrl(url).status()));
  }
}

TEST_CASE("the error says what is wrong with a URL") {
  const EgressGuard guard;
  const std::pair<const char*, const char*> cases[] = {
      {"https://user@example.com/", "user information"},
      {"https://user@127.0.0.1/", "user information"},
      {"https://example.com/#x", "fragment"},
      {"ftp://example.com/", "https://"},
      {"http://example.com/", "https://"},
      {"https://127.0.0.1/", "address"},
      {"https://localhost/", "internal host"},
      {"https://example.com:25/", "port"},
      {"https://ex\xc3\xa4mple.com/", "xn--"},
      {"https://[::1%25lo]/", "IPv6"},
      {"https://1.2.3.4.5/", "ends with a number"},
  };
  for (const auto& [url, said] : cases) {
    INFO(url);
    CHECK(std::string(guard.ParseUrl(url).status().message()).find(said) != std::string::npos);
  }
}

TEST_CASE("public URLs are normalized") {
  const EgressGuard guard;
  for (const Good& good : kGoodUrls) {
    INFO(good.text);
    const absl::StatusOr<DestinationUrl> url = guard.ParseUrl(good.text);
    REQUIRE(url.ok());
    CHECK(url->url == good.url);
    CHECK(url->host == good.host);
    CHECK(url->port == good.port);
    CHECK(url->shown == good.shown);
    // What it makes it takes.
    CHECK(guard.ParseUrl(url->url)->url == url->url);
  }
}

TEST_CASE("a URL of 2000 characters is accepted") {
  const EgressGuard guard;
  const std::string longest = "https://example.com/" + std::string(kDestinationUrlBytesMax - 20, 'a');
  REQUIRE(longest.size() == kDestinationUrlBytesMax);
  CHECK(guard.ParseUrl(longest)->url == longest);
}

TEST_CASE("the longest label and the longest host name are accepted") {
  const EgressGuard guard;
  const std::string label(63, 'a');
  CHECK(guard.ParseUrl("https://" + label + ".com/").ok());
  const std::string name = label + "." + label + "." + label + "." + std::string(57, 'b');
  REQUIRE(name.size() == 249);
  CHECK(guard.ParseUrl("https://" + name + ".com/").ok());
  CHECK_FALSE(guard.ParseUrl("https://" + name + "b.com/").ok());
}

TEST_CASE("http is accepted if the operator allows it, with its own default port") {
  const EgressGuard guard = EgressGuard::Create("", true).value();
  const absl::StatusOr<DestinationUrl> url = guard.ParseUrl("http://example.com/x");
  REQUIRE(url.ok());
  CHECK(url->url == "http://example.com/x");
  CHECK(url->port == 80);
  CHECK(guard.ParseUrl("http://example.com:443/x")->url == "http://example.com:443/x");
  CHECK(guard.ParseUrl("https://example.com/x")->port == 443);
  CHECK_FALSE(guard.ParseUrl("ftp://example.com/x").ok());
  CHECK(absl::IsPermissionDenied(guard.ParseUrl("http://127.0.0.1/x").status()));
}

TEST_CASE("networks that the operator allows are accepted in every notation, and no others") {
  const EgressGuard guard = EgressGuard::Create(" 10.20.0.0/16, 127.0.0.1,fd00:1::/33 ,100.64.0.4/30", false).value();
  for (const char* address : {"10.20.0.0", "10.20.255.255", "127.0.0.1", "::ffff:10.20.1.1", "64:ff9b::10.20.1.1",
                              "fd00:1::1", "fd00:1:7fff:ffff::1", "100.64.0.7", "8.8.8.8"}) {
    INFO(address);
    CHECK(MayConnect(guard, address));
  }
  for (const char* address : {"10.19.255.255", "10.21.0.0", "127.0.0.2", "::1", "fd00:1:8000::1", "fd00:2::1",
                              "100.64.0.8", "100.64.0.3", "169.254.169.254", "2002:a14:101::1"}) {
    INFO(address);
    CHECK_FALSE(MayConnect(guard, address));
  }
  CHECK(guard.ParseUrl("https://10.20.1.1:8443/x").ok());
  CHECK(guard.ParseUrl("https://0x7f000001/x")->url == "https://127.0.0.1/x");
  CHECK(absl::IsPermissionDenied(guard.ParseUrl("https://10.21.0.1/x").status()));
  // Names of such networks are left to the connection.
  CHECK(guard.ParseUrl("https://receiver/x")->host == "receiver");
  CHECK(guard.ParseUrl("https://receiver.internal:8443/x").ok());
  // No network makes Postgres a receiver.
  CHECK(absl::IsPermissionDenied(guard.ParseUrl("https://10.20.1.1:5432/x").status()));
  CHECK_FALSE(guard.ParseUrl("http://10.20.1.1/x").ok());
}

TEST_CASE("a malformed network is refused and quoted in the error") {
  for (const char* text : {"10.0.0.0/33",
                           "10.0.0.1/8",
                           "fd00::/129",
                           "fd00::1/64",
                           "10.0.0.0/",
                           "10.0.0.0/-1",
                           "10.0.0.0/+8",
                           "10.0.0.0/ 8",
                           "10.0.0.0/8x",
                           "10.0.0/8",
                           "10/8",
                           "example.com",
                           "x",
                           "/8",
                           "10.0.0.0/8,",
                           ",",
                           "10.0.0.0/8;10.1.0.0/16",
                           "0x7f000001",
                           "::1%lo",
                           "10.0.0.0/0008"}) {
    INFO(text);
    const absl::Status status = EgressGuard::Create(text, false).status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(std::string(status.message()).find("is not a network") != std::string::npos);
  }
  std::string many = "10.0.0.0/8";
  for (int i = 1; i < 100; ++i) many += ",10.0.0.0/8";
  CHECK(EgressGuard::Create(many, false).ok());
  CHECK(absl::IsInvalidArgument(EgressGuard::Create(many + ",10.0.0.0/8", false).status()));
  CHECK(EgressGuard::Create(" ", false).ok());
  CHECK(EgressGuard::Create("0.0.0.0/0,::/0", false).ok());
}

}  // namespace
}  // namespace stockalert::notifier
