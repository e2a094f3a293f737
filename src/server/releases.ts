import { type AskOptions, askStatus } from './admin-client.ts'

/** What coordinators say that they know, in `features` of their status. */
export const SETTLEMENTS = 'settlements'

/** One coordinator's word; undefined: it does not answer, so nobody knows. */
export interface Release {
  readonly address: string
  readonly knows: boolean | undefined
}

/** Asks coordinators whether they know the records of settlements. They are asked anew each time: one may have been upgraded. */
export async function askReleases(addresses: readonly string[], options: AskOptions): Promise<readonly Release[]> {
  return await Promise.all(
    addresses.map(async (address) => {
      try {
        const { features = [] } = await askStatus(address, options)
        return { address, knows: features.includes(SETTLEMENTS) }
      } catch {
        return { address, knows: undefined }
      }
    }),
  )
}
