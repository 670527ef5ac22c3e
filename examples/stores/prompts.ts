// Prompts and the projects that they belong to.
//
//   prompt_storage/prompts.json           { [promptId]: prompt }
//   prompt_storage/associations.json      { "<promptId>-<projectId>": association }
//   prompt_storage/prompt-projects.json   the old layout of the associations: an array, imported once
import { BaseStorage } from '@octoprompt/storage'
import type { BaseStorageOptions, IndexConfig } from '@octoprompt/storage'
import { z } from 'zod'
import { ImportingStorage } from './import-array.js'
import { keeping } from './keeping.js'

const DATA_DIR = 'data/prompt_storage'

export const promptSchema = keeping({
  id: z.number(),
  name: z.string().trim().min(1),
  content: z.string(),
  created: z.number(),
  updated: z.number(),
})
export type Prompt = z.infer<typeof promptSchema>

const associationSchema = z.object({
  id: z.string(),
  promptId: z.number(),
  projectId: z.number(),
  created: z.number(),
  updated: z.number(),
})
type Association = z.infer<typeof associationSchema>

const associationId = (promptId: number, projectId: number) => `${promptId}-${projectId}`

class Associations extends ImportingStorage<Association> {
  static override indexes: IndexConfig[] = [
    { name: 'by_prompt', type: 'hash', fields: ['promptId'] },
    { name: 'by_project', type: 'hash', fields: ['projectId'] },
  ]

  constructor(options?: BaseStorageOptions) {
    super(associationSchema, DATA_DIR, options)
  }

  protected getIndexPath() {
    return 'associations.json'
  }

  protected getEntityPath() {
    return null
  }

  protected getArrayPath() {
    return 'prompt-projects.json'
  }

  protected idOf(element: Record<string, unknown>) {
    return associationId(Number(element['promptId']), Number(element['projectId']))
  }

  protected fieldsOf(element: Record<string, unknown>) {
    return { promptId: Number(element['promptId']), projectId: Number(element['projectId']) }
  }
}

export class PromptStorage extends BaseStorage<Prompt, Record<string, Prompt>> {
  static override indexes: IndexConfig[] = [{ name: 'by_words', type: 'inverted', fields: ['name', 'content'] }]

  private associations: Associations

  constructor(options?: BaseStorageOptions) {
    super(z.record(z.string(), promptSchema), promptSchema, DATA_DIR, options)
    this.associations = new Associations(options)
  }

  protected getIndexPath() {
    return 'prompts.json'
  }

  protected getEntityPath() {
    return null
  }

  async search(query: string): Promise<Prompt[]> {
    return this.searchBy('by_words', query)
  }

  /** Adds a prompt to a project. Returns whether the association is new. */
  async addToProject(promptId: number, projectId: number): Promise<boolean> {
    await this.associations.importArray()
    return this.transaction(async (tx) => {
      if ((await tx.getById(promptId)) === null) throw new Error(`prompt ${promptId} does not exist`)
      const associations = tx.in(this.associations)
      const id = associationId(promptId, projectId)
      if (await associations.getById(id)) return false
      await associations.create({ id, promptId, projectId })
      return true
    })
  }

  async removeFromProject(promptId: number, projectId: number): Promise<boolean> {
    await this.associations.importArray()
    return this.associations.delete(associationId(promptId, projectId))
  }

  async listByProject(projectId: number): Promise<Prompt[]> {
    await this.associations.importArray()
    const found = await this.associations.findBy('by_project', projectId)
    return this.query({ where: { id: { $in: found.map(({ promptId }) => promptId) } } })
  }

  async getProjects(promptId: number): Promise<number[]> {
    await this.associations.importArray()
    return (await this.associations.findBy('by_prompt', promptId)).map(({ projectId }) => projectId)
  }

  /** Removes a prompt with its associations: all or nothing. */
  override async delete(promptId: number): Promise<boolean> {
    await this.associations.importArray()
    return this.transaction(async (tx) => {
      const associations = tx.in(this.associations)
      for (const { id } of await associations.query({ where: { promptId } })) await associations.delete(id)
      return tx.delete(promptId)
    })
  }

  override async close(): Promise<void> {
    await this.associations.close()
    await super.close()
  }
}
