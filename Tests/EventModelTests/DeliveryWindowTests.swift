import EventModel
import Testing

@Suite("A delivery window")
struct DeliveryWindowTests {
    @Test(
        "is filled again when a quarter of it is free",
        arguments: [(64, 48), (16, 12), (8, 6), (4, 3), (2, 1), (1, 0)])
    func quarter(size: Int, largest: Int) {
        let window = DeliveryWindow(size: size)
        for inFlight in 0...size { #expect(window.isOpen(inFlight: inFlight) == (inFlight <= largest)) }
    }

    @Test("of nothing stays shut")
    func nothing() {
        #expect(!DeliveryWindow(size: 0).isOpen(inFlight: 0))
        #expect(!DeliveryWindow(size: 0).isOpen(inFlight: 3))
    }

    @Test("that shrank while much was under way waits until that is less")
    func shrunk() {
        #expect(!DeliveryWindow(size: 1).isOpen(inFlight: 16))
        #expect(!DeliveryWindow(size: 1).isOpen(inFlight: 1))
        #expect(DeliveryWindow(size: 1).isOpen(inFlight: 0))
    }
}
