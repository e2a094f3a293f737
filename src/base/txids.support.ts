import { makeTxid, type Txid } from './ids.ts'

/** The txid that is made `age`th: a greater one is younger. @internal */
export function txidOf(age: number): Txid {
  return makeTxid(1_750_000_000_000 + age, Buffer.alloc(10, 7))
}

/** The first twelve of them, in their order. @internal */
export const TXIDS: readonly Txid[] = Array.from({ length: 12 }, (_, age) => txidOf(age))
