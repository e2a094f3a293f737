/** What the stage tells a new application process. */
export interface ApplicationOrders {
  readonly kind: 'start'
  /** From 1, and never used again in the run: elements begin with it. */
  readonly number: number
  readonly seed: number
  readonly coordinators: readonly string[]
  readonly stores: readonly StoreAddress[]
  readonly workers: number
  readonly journal: string
  /** When the history begins, as text: messages can't hold a bigint. */
  readonly epoch: string
  readonly generation: number
}

/** A key-value participant. */
export interface StoreAddress {
  readonly name: string
  readonly address: string
}

/** Later orders: keys that are in use from now on; the end. */
export type Order =
  | ApplicationOrders
  | { readonly kind: 'generation'; readonly generation: number }
  | { readonly kind: 'stop' }

/** What an application reports: first that it waits for its orders, then some times a second what it did. */
export type ApplicationNews =
  | { readonly kind: 'ready' }
  /** Acknowledged appends since the last report. */
  | { readonly kind: 'appends'; readonly count: number }
