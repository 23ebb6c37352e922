/// A first-in, first-out queue of small values that grows in place.
struct Ring<Element: Sendable>: Sendable {
    private var storage: [Element?] = []
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ element: Element) {
        if count == storage.count { grow() }
        storage[(head + count) % storage.count] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = storage[head]
        storage[head] = nil
        head = (head + 1) % storage.count
        count -= 1
        return element
    }

    /// The element that would come out after `offset` others.
    subscript(offset: Int) -> Element? {
        offset < count ? storage[(head + offset) % storage.count] : nil
    }

    /// Takes an element out of its turn; the first one takes its place.
    mutating func remove(at offset: Int) -> Element? {
        guard offset < count else { return nil }
        storage.swapAt(head, (head + offset) % storage.count)
        return popFirst()
    }

    private mutating func grow() {
        var larger: [Element?] = []
        larger.reserveCapacity(max(16, storage.count * 2))
        for offset in 0..<count { larger.append(storage[(head + offset) % storage.count]) }
        larger.append(contentsOf: repeatElement(nil, count: max(16, storage.count * 2) - count))
        storage = larger
        head = 0
    }
}
