import EventModel
import Testing

struct TimestampTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-21T22:10:00.123Z", 1_795_299_000_123),
        ("2026-11-21t22:10:00.123999z", 1_795_299_000_123), ("2026-11-22T00:10:00.12+02:00", 1_795_299_000_120),
        ("1969-12-31T23:59:59.999Z", -1), ("2024-02-29T12:00:00Z", 1_709_208_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
    ])
    func `a moment of RFC 3339 is read`(_ text: String, _ milliseconds: Int64) {
        #expect(Timestamp(rfc3339: text.utf8)?.milliseconds == milliseconds)
    }

    @Test(arguments: [
        "", "2026-11-21", "2026-11-21T22:10:00", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T22:60:00Z", "2026-11-21T22:10:00.Z", "2026-11-21T22:10:00Zx", "26-11-21T22:10:00Z",
        "2026-11-21T22:10:00+2", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T00:00:61Z",
    ])
    func `anything else is not a moment`(_ text: String) {
        #expect(Timestamp(rfc3339: text.utf8) == nil)
    }

    @Test func `what is written is read back`() {
        for milliseconds in stride(from: Int64(-62_000_000_000_000), through: 250_000_000_000_000, by: 777_777_777_777)
        {
            let moment = Timestamp(milliseconds: milliseconds)
            #expect(Timestamp(rfc3339: moment.description.utf8) == moment)
        }
        #expect(Timestamp(milliseconds: 1_795_299_000_123).description == "2026-11-21T22:10:00.123Z")
    }

    @Test func `what lies beyond all moments ends at the last`() {
        let first = Timestamp(milliseconds: .min)
        let last = Timestamp(milliseconds: .max)
        #expect(last - first == .max && first - last == -.max)
        #expect(last + 1 == last && first + -1 == first)
        #expect(last + -1 < last && last - last == 0)
    }
}
