import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { rangeSpan } from '../locks/index.ts'
import type { KvStore } from './store.ts'

/** How a kind of store is opened again on the same data. */
export interface StoreMaker {
  open(): Promise<KvStore>
  remove(): Promise<void>
}

/** What every store does. */
export function storeContract(name: string, make: () => Promise<StoreMaker>): void {
  describe(name, () => {
    let maker: StoreMaker
    let store: KvStore
    const put = (entries: Record<string, string | undefined>, mark = 'm'): Promise<void> =>
      store.write({
        effects: Object.entries(entries).map(([key, value]) => [
          key,
          value === undefined ? undefined : Buffer.from(value),
        ]),
        mark: Buffer.from(mark),
      })
    const all = (from = '', to?: string): string[] =>
      [...store.entries(rangeSpan(from, to))].map(([key, value]) => `${key}=${value}`)

    beforeEach(async () => {
      maker = await make()
      store = await maker.open()
    })
    afterEach(async () => {
      await store.close()
      await maker.remove()
    })

    test('a new store is empty and has no mark', () => {
      expect(store.mark).toBeUndefined()
      expect(store.get('da')).toBeUndefined()
      expect(all('d')).toEqual([])
    })

    test('a write is seen as soon as it is done, also by who read in the same turn, and after a new start', async () => {
      await put({ da: '1', db: '2' })
      expect(store.get('da')?.toString()).toBe('1')
      const writing = put({ da: '3', db: undefined, dc: '' }, 'n')
      expect(store.get('dc')).toBeUndefined()
      await writing.then(() => expect(store.get('da')?.toString()).toBe('3'))
      expect(all('d')).toEqual(['da=3', 'dc='])
      await store.close()
      store = await maker.open()
      expect(store.mark?.toString()).toBe('n')
      expect(all('d')).toEqual(['da=3', 'dc='])
    })

    test('keys are in the order of their bytes, and a range has its beginning and not its end', async () => {
      await put({ 'd\0': '0', 'd\x80': '3', da: '1', dz: '2', 'd\xff\xff': '4', e: '5' })
      expect(all('d\0', 'd\xff\xff')).toEqual(['d\0=0', 'da=1', 'dz=2', 'd\x80=3'])
      expect(all('dz')).toEqual(['dz=2', 'd\x80=3', 'd\xff\xff=4', 'e=5'])
    })

    test('a range is removed before the effects of the same change', async () => {
      await put({ o1: 'a', o2: 'b', o3: 'c' })
      const effects: [string, Buffer][] = [['o2', Buffer.from('new')]]
      await store.write({ effects, removed: rangeSpan('o', 'o3'), mark: Buffer.from('m') })
      expect(all('o')).toEqual(['o2=new', 'o3=c'])
    })

    test('what was read is not changed by later writes', async () => {
      await put({ da: 'old' })
      const before = store.get('da')
      const [[, listed]] = [...store.entries(rangeSpan('d', 'e'))] as [[string, Buffer]]
      await put({ da: 'new' })
      expect(store.get('da')?.toString()).toBe('new')
      expect(`${before} ${listed}`).toBe('old old')
    })

    test('many keys are one change', async () => {
      const keys = Array.from({ length: 5000 }, (_, index) => `d${String(index).padStart(5, '0')}`)
      await put(Object.fromEntries(keys.map((key) => [key, key.repeat(20)])))
      expect([...store.entries(rangeSpan('d', 'e'))].length).toBe(5000)
      expect(store.get('d04321')?.toString()).toBe('d04321'.repeat(20))
    })
  })
}
