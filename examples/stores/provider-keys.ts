// Keys of model providers. Names are unique within a provider, and one key of each provider is the default.
//
//   provider_key_storage/provider_keys.json   { [keyId]: key }
import { BaseStorage } from '@octoprompt/storage'
import type { BaseStorageOptions, IndexConfig } from '@octoprompt/storage'
import { z } from 'zod'
import { keeping } from './keeping.js'

export const providerKeySchema = keeping({
  id: z.number(),
  name: z.string().trim().min(1),
  provider: z.string().min(1),
  key: z.string().min(1),
  isDefault: z.boolean().default(false),
  isActive: z.boolean().default(true),
  created: z.number(),
  updated: z.number(),
})
export type ProviderKey = z.infer<typeof providerKeySchema>

export class ProviderKeyStorage extends BaseStorage<
  ProviderKey,
  Record<string, ProviderKey>,
  z.input<typeof providerKeySchema>
> {
  static override indexes: IndexConfig[] = [
    { name: 'by_provider', type: 'hash', fields: ['provider'] },
    { name: 'by_name', type: 'hash', fields: ['provider', 'name'], unique: true },
  ]

  constructor(options?: BaseStorageOptions) {
    super(z.record(z.string(), providerKeySchema), providerKeySchema, 'data/provider_key_storage', options)
  }

  protected getIndexPath() {
    return 'provider_keys.json'
  }

  protected getEntityPath() {
    return null
  }

  /** Stores a key. The first key of a provider becomes its default. */
  async add(key: Pick<ProviderKey, 'name' | 'provider' | 'key'>): Promise<ProviderKey> {
    return this.transaction(async (tx) => {
      const others = await tx.query({ where: { provider: key.provider, isDefault: true }, limit: 1 })
      return tx.create({ ...key, isDefault: others.length === 0 })
    })
  }

  /** Makes a key the default of its provider, in place of the previous one. */
  async setDefault(id: number): Promise<ProviderKey> {
    return this.transaction(async (tx) => {
      const key = await tx.getById(id)
      if (key === null) throw new Error(`key ${id} does not exist`)
      const before = await tx.query({ where: { provider: key.provider, isDefault: true, id: { $ne: id } } })
      for (const other of before) await tx.update(other.id, { isDefault: false })
      return (await tx.update(id, { isDefault: true }))!
    })
  }

  async getDefault(provider: string): Promise<ProviderKey | null> {
    const [found] = await this.query({ where: { provider, isDefault: true, isActive: true }, limit: 1 })
    return found ?? null
  }

  /** The keys as a page may show them. */
  async listNames(): Promise<Pick<ProviderKey, 'id' | 'name' | 'provider' | 'isDefault'>[]> {
    return this.query({ select: ['name', 'provider', 'isDefault'], orderBy: ['provider', 'name'] })
  }
}
