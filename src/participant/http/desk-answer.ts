/** An answer, as JSON. */
export interface DeskAnswer {
  readonly status: number
  readonly body: object
}

/** The headers of every answer: nobody on the way may keep it for another question. */
export const ANSWER_HEADERS = { 'content-type': 'application/json', 'cache-control': 'no-store' } as const

export function done(body: object): DeskAnswer {
  return { status: 200, body }
}

/** Nothing was done, or not yet. */
export function problem(status: number, code: string, message: string): DeskAnswer {
  return { status, body: { code, message } }
}
