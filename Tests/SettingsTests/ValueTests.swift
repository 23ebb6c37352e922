import Testing

@testable import Settings

@Suite struct `Values` {
    @Test(arguments: [
        ("200ms", Duration.milliseconds(200)), ("30s", .seconds(30)), ("5m", .seconds(300)), ("1h", .seconds(3_600)),
        ("7d", .seconds(604_800)), ("0s", .zero),
    ])
    func `are durations with a unit`(text: String, duration: Duration) {
        #expect(DurationText.read(text) == duration)
        #expect(DurationText.write(duration) == text)
    }

    @Test(arguments: ["", "30", "s", "-1s", "1.5h", "1 h", "1H", "1w", "1h30m", "٣s", "9223372036854775807d"])
    func `are not durations without one, or with another`(text: String) {
        #expect(DurationText.read(text) == nil)
    }

    @Test(arguments: [("90s", "90s"), ("60s", "1m"), ("86400s", "1d"), ("1500ms", "1500ms"), ("48h", "2d")])
    func `are written in the largest unit that fits`(text: String, written: String) {
        #expect(DurationText.read(text).map(DurationText.write) == written)
    }

    @Test(arguments: [
        ("512B", 512), ("64KiB", 65_536), ("256MiB", 268_435_456), ("8GiB", 8_589_934_592), ("1TiB", 1_099_511_627_776),
    ])
    func `are sizes in powers of 1024`(text: String, bytes: Int) {
        #expect(ByteCount(text)?.bytes == bytes)
        #expect(ByteCount(bytes: bytes).description == text)
    }

    @Test(arguments: ["", "64", "64KB", "64kib", "64 KiB", "-1B", "1.5GiB", "9999999999TiB"])
    func `are not sizes in other units`(text: String) {
        #expect(ByteCount(text) == nil)
    }

    @Test(arguments: [
        ("jurnal", "journal"), ("jounral", "journal"), ("max-size", "max_size"), ("Listen", "listen"), ("xyz", nil),
        ("levels", "level"), ("", nil),
    ])
    func `are near another name by a slip or two`(name: String, nearest: String?) {
        #expect(NearestName.of(name, among: ["journal", "max_size", "listen", "level"]) == nearest)
    }

    @Test(arguments: [
        ("ldaps://Host.Example", "host.example:636"), ("ldap://10.0.0.7", "10.0.0.7:389"),
        ("http://h/x?y#z", "h:80"), ("HTTPS://h:8443/a:b", "h:8443"), ("ldaps://[2001:DB8::7]", "[2001:db8::7]:636"),
        ("https://[::1]:1/", "[::1]:1"), ("amqp://h:5672", "h:5672"),
    ])
    func `are URLs with an endpoint`(url: String, endpoint: String) {
        #expect((try? TargetURL.endpoint(of: url).get())?.description == endpoint)
    }

    @Test(arguments: [
        "", "h:1", "ldaps:h", "https://", "https:///x", "https://:1", "https://h:", "https://h:0", "https://h:65536",
        "https://user:pass@h", "https://[::1", "https://::1", "amqp://h", "ldapi://%2frun", "https://a b",
        "https://1.2.3",
    ])
    func `are not URLs without one, or with a user in it`(url: String) {
        #expect(throws: TargetURL.Problem.self) { try TargetURL.endpoint(of: url).get() }
    }

    @Test(arguments: [
        ("plain", "plain"), ("/a/b.c", "/a/b.c"), ("127.0.0.1:8620", "127.0.0.1:8620"), ("[::1]:1", "\"[::1]:1\""),
        ("", "\"\""), ("true", "\"true\""), ("No", "\"No\""), ("12", "\"12\""), ("a: b", "\"a: b\""), ("*", "\"*\""),
        ("a\"\\\n", #""a\"\\\n""#), ("ends:", "\"ends:\""), ("~", "\"~\""), ("a #b", "\"a #b\""),
    ])
    func `are quoted where YAML would take them for something else`(text: String, written: String) throws {
        #expect(YAMLScalar.write(text) == written)
        var issues: [SettingsIssue] = []
        let origin = SettingsPlace.variable("X")
        let node = try #require(YAMLText(text: "k: \(written)", origin: origin).read(&issues))
        #expect(node["k"]?.text == text && issues == [])
    }
}
