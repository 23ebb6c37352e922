@testable import Intake
import NIOCore
import Testing

@Suite struct `A body` {
    @Test func `is wiped where it was received, slices of the same memory included`() {
        var received = ByteBuffer(string: "head canary tail")
        let body = BodyBuffer(budget: BodyBudget(limit: 10_000))
        let part = received.getSlice(at: 5, length: 6) ?? ByteBuffer()
        #expect(body.append(part))
        #expect(body.contents.elementsEqual("canary".utf8))
        #expect(received.readString(length: 16) == "head \0\0\0\0\0\0 tail")
    }

    @Test func `grows, wiping what it leaves, and gives its memory back`() {
        let budget = BodyBudget(limit: 3_000)
        do {
            let body = BodyBuffer(budget: budget)
            let text = String(repeating: "canary ", count: 140)
            #expect(body.append(ByteBuffer(string: text)))
            #expect(body.contents.elementsEqual(text.utf8))
            // While it grows, both are there: 1,024 and 2,048 bytes are more than there are.
            var more = ByteBuffer(string: text)
            #expect(!body.append(more))
            #expect(more.readString(length: 6) == "\0\0\0\0\0\0")
            #expect(!budget.take(2_000))
        }
        #expect(budget.take(3_000))
    }

    @Test func `that is not kept is wiped all the same`() {
        var part = ByteBuffer(string: "canary")
        part.wipe()
        #expect(part.readString(length: 6) == "\0\0\0\0\0\0")
    }
}
