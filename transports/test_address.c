/* SPDX-License-Identifier: MIT */
/* Addresses: what is understood, what is refused and how it is said. */
#include "scheme.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static net_address parsed(const char *url) {
    net_address a;
    net_text why;
    int status = choiri_net_address_parse(url, &a, &why);
    cr_assert_eq(status, CHOIR_OK, "%s: %s", url, why.data);
    cr_assert_eq(why.len, 0);
    return a;
}

static void refused(const char *url, const char *reason) {
    net_address a;
    net_text why;
    cr_assert_eq(choiri_net_address_parse(url, &a, &why), CHOIR_ERR_ADDRESS, "%s was taken", url);
    cr_assert(strstr(why.data, reason), "%s: \"%s\" does not say \"%s\"", url, why.data, reason);
    cr_assert_eq(why.len, strlen(why.data));
}

static void has_text(const net_address *a, const char *text) {
    char buffer[NET_URL_MAX];
    choiri_net_sockaddr_text(&a->socket, buffer, sizeof buffer);
    cr_assert_str_eq(buffer, text);
}

Test(address, ipv4) {
    net_address a = parsed("tcp://127.0.0.1:80");
    cr_assert_eq(a.scheme, &choiri_net_scheme_tcp);
    cr_assert(a.numeric);
    cr_assert_eq(a.port, 80);
    cr_assert_eq(a.socket.v4.sin_family, AF_INET);
    cr_assert_eq(a.socket.v4.sin_port, htons(80));
    cr_assert_eq(a.socket.v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    cr_assert_eq(choiri_net_sockaddr_len(&a.socket), sizeof(struct sockaddr_in));
    has_text(&a, "127.0.0.1:80");
}

/* As people write it. */
Test(address, host_and_port) {
    net_address a = parsed("127.0.0.1:80");
    cr_assert_eq(a.scheme, &choiri_net_scheme_tcp);
    has_text(&a, "127.0.0.1:80");
    a = parsed("[::1]:81");
    has_text(&a, "[::1]:81");
    a = parsed("localhost:82");
    cr_assert_eq(a.port, 82);
}

Test(address, ipv6) {
    net_address a = parsed("tcp://[::1]:65535");
    cr_assert(a.numeric);
    cr_assert_eq(a.socket.v6.sin6_family, AF_INET6);
    cr_assert_eq(a.socket.v6.sin6_scope_id, 0);
    cr_assert_eq(memcmp(&a.socket.v6.sin6_addr, &in6addr_loopback, 16), 0);
    cr_assert_eq(choiri_net_sockaddr_len(&a.socket), sizeof(struct sockaddr_in6));
    has_text(&a, "[::1]:65535");
    a = parsed("tcp://[fe80::1%lo]:7");
    cr_assert_neq(a.socket.v6.sin6_scope_id, 0);
    has_text(&a, "[fe80::1%lo]:7");
    has_text(&(net_address){.socket = parsed("tcp://[2001:db8:0:0::7]:1").socket}, "[2001:db8::7]:1");
}

Test(address, names) {
    net_address a = parsed("tcp://example.org:0");
    cr_assert_not(a.numeric);
    cr_assert_str_eq(a.host, "example.org");
    cr_assert_eq(a.port, 0);
    cr_assert_str_eq(parsed("tcp://my_host-1.:443").host, "my_host-1.");
    /* The old notations of IPv4 are names, not addresses. */
    cr_assert_not(parsed("tcp://127.1:1").numeric);
    cr_assert_not(parsed("tcp://0x7f000001:1").numeric);
    cr_assert_not(parsed("tcp://1.2.3.256:1").numeric);
}

Test(address, memory) {
    net_address a = parsed("mem://a b/:[c]");
    cr_assert_eq(a.scheme, &choiri_net_scheme_memory);
    cr_assert_str_eq(a.host, "a b/:[c]");
}

Test(address, errors_say_what_is_wrong) {
    refused("", "no scheme");
    refused("127.0.0.1", "no scheme");
    refused("127.0.0.1:http", "port");
    refused("tcp:/127.0.0.1:80", "\"//\" is missing");
    refused("http://127.0.0.1:80", "scheme is not known");
    refused("TCP://127.0.0.1:80", "scheme is not known");
    refused("://127.0.0.1:80", "scheme is not known");
    refused("tcp://", "host is missing");
    refused("tcp://:80", "host is missing");
    refused("tcp://[]:80", "host is missing");
    refused("tcp://host", "port is missing");
    refused("tcp://[::1]", "port is missing");
    refused("tcp://host:", "port is missing or not a number");
    refused("tcp://host:http", "not a number: \"http\"");
    refused("tcp://host:-1", "not a number");
    refused("tcp://host: 1", "not a number");
    refused("tcp://host:65536", "over 65535");
    refused("tcp://host:4294967376", "over 65535"); /* 80, if it wrapped */
    refused("tcp://host:99999999999999999999", "over 65535");
    refused("tcp://host:80/", "may follow the port, found \"/\"");
    refused("tcp://host:80x", "may follow the port, found \"x\"");
    refused("tcp://host/path:80", "expected \":port\"");
    refused("tcp://[::1]80", "expected \":port\"");
    refused("tcp://[::1", "without");
    refused("tcp://::1:80", "needs brackets");
    refused("tcp://fe80::1:80", "needs brackets");
    refused("tcp://[127.0.0.1]:80", "not an IPv6 address");
    refused("tcp://[::g]:80", "not an IPv6 address");
    refused("tcp://[fe80::1%nosuchthing]:80", "no network interface \"nosuchthing\"");
    refused("tcp://us er@host:80", "neither an address nor a host name");
    refused("tcp://h\xc3\xb6st:80", "neither an address nor a host name");
    refused("mem://", "name is missing");
}

Test(address, lengths) {
    char url[400], name[260];
    memset(name, 'a', sizeof name);
    name[NET_HOST_MAX] = '\0';
    snprintf(url, sizeof url, "tcp://%s:1", name);
    cr_assert_eq(strlen(parsed(url).host), NET_HOST_MAX);
    snprintf(url, sizeof url, "mem://%s", name);
    cr_assert_eq(strlen(parsed(url).host), NET_HOST_MAX);
    memset(name, 'a', sizeof name);
    name[NET_HOST_MAX + 1] = '\0';
    snprintf(url, sizeof url, "tcp://%s:1", name);
    refused(url, "longer than a name");
    snprintf(url, sizeof url, "tcp://[%s]:1", name);
    refused(url, "longer than a name");
    snprintf(url, sizeof url, "mem://%s", name);
    refused(url, "more than 253");
}

/* Every prefix of good URLs is either understood or refused, and never read past its end (the sanitizers see
 * to it). */
Test(address, prefixes) {
    static const char *const urls[] = {"tcp://[fe80::1%lo]:12345", "tcp://example.org:65535", "mem://name"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        for (size_t len = 0; len <= strlen(urls[i]); len++) {
            char *url = strndup(urls[i], len);
            net_address a;
            net_text why;
            int status = choiri_net_address_parse(url, &a, &why);
            cr_assert(status == CHOIR_OK || (status == CHOIR_ERR_ADDRESS && why.len > 0));
            free(url);
        }
    }
}

Test(address, text_is_cut) {
    net_text t = {.len = 0};
    for (int i = 0; i < 100; i++) choiri_net_text_add(&t, "%d, ", 1000000 + i);
    cr_assert_eq(t.len, sizeof t.data - 1);
    cr_assert_eq(strlen(t.data), t.len);
    cr_assert_str_eq(t.data + t.len - 3, "...");
    cr_assert_eq(strncmp(t.data, "1000000, 1000001, ", 18), 0);
    choiri_net_text_add(&t, "more");
    cr_assert_eq(strlen(t.data), sizeof t.data - 1);
}
