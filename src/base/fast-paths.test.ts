import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from './bytes.ts'
import { makeTxid, parseTxid, txidFromBytes, txidToBytes } from './ids.ts'

test('a txid comes back from its sixteen bytes, which are its hex digits', () => {
  const randomBytes = fc.uint8Array({ minLength: 10, maxLength: 10 })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), randomBytes, fc.nat(5), (unixMs, random, offset) => {
      const txid = parseTxid(makeTxid(unixMs, random))
      const bytes = Buffer.alloc(offset + 16)
      txidToBytes(txid, bytes, offset)
      expect(bytes.toString('hex', offset)).toBe(txid.replaceAll('-', ''))
      expect(txidFromBytes(bytes, offset)).toBe(txid)
    }),
  )
})

test('every text is its length in bytes and its UTF-8, short and plain or not', () => {
  const text = fc.oneof(fc.string({ maxLength: 100 }), fc.string({ unit: 'binary', maxLength: 100 }))
  fc.assert(
    fc.property(text, fc.nat(3), (written, capacity) => {
      const writer = new ByteWriter(capacity)
      writer.u8(7)
      writer.text(written)
      writer.u8(9)
      const utf8 = Buffer.from(written, 'utf8')
      const length = Buffer.from([utf8.length >> 8, utf8.length & 255])
      expect(writer.finish()).toEqual(Buffer.concat([Buffer.from([7]), length, utf8, Buffer.from([9])]))
    }),
  )
})

test('a text that was read is the text that was written', () => {
  for (const written of ['', 'flights', 'x'.repeat(48), 'x'.repeat(49), `${'x'.repeat(47)}ü`, '日本'.repeat(30)]) {
    const writer = new ByteWriter(1)
    writer.text(written)
    const reader = new ByteReader(writer.finish())
    expect(reader.text()).toBe(written)
    reader.finish()
  }
})
