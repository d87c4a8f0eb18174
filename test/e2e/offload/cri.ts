/** A client of CRI, Kubernetes' interface to container runtimes. */
import { Client, credentials, type ServiceDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTO = new URL("cri.proto", import.meta.url).pathname;
const BOUND_MS = 60_000;

/** Answers, as far as the tests look at them. 64-bit numbers are text. */
export interface Answers {
  Status: { status: { conditions: { type: string; status: boolean }[] } };
  RunPodSandbox: { pod_sandbox_id: string };
  StopPodSandbox: object;
  RemovePodSandbox: object;
  PodSandboxStatus: { status: { state: string; network: { ip: string } } };
  ListPodSandbox: { items: { id: string; state: string }[] };
  CreateContainer: { container_id: string };
  StartContainer: object;
  StopContainer: object;
  RemoveContainer: object;
  ListContainers: { containers: { id: string; state: string }[] };
  ContainerStatus: {
    status: { state: string; exit_code: number; reason: string };
    info: Record<string, string>;
  };
  UpdateContainerResources: object;
  ExecSync: { stdout: Buffer; stderr: Buffer; exit_code: number };
  Exec: { url: string };
  ContainerStats: { stats: { memory: { working_set_bytes: { value: string } } } };
}

const SERVICE = "runtime.v1.RuntimeService";
const definitions = loadSync(PROTO, {
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
});

export class Cri {
  readonly #client: Client;

  /** `socket`: the runtime's, as this process reaches it. */
  constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      // Of a path the runtime makes nothing.
      "grpc.default_authority": "localhost",
    });
  }

  /** Asks for `method` with `request`, as in cri.proto; throws what the runtime says. */
  ask<M extends keyof Answers>(method: M, request: object = {}): Promise<Answers[M]> {
    const definition = (definitions[SERVICE] as ServiceDefinition)[method];
    if (definition === undefined) throw new Error(`cri.proto has no ${method}`);
    const { path, requestSerialize, responseDeserialize } = definition;
    const deadline = Date.now() + BOUND_MS;
    const serialize = (value: object) => requestSerialize(value);
    const deserialize = (bytes: Buffer) => responseDeserialize(bytes) as Answers[M];
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        serialize,
        deserialize,
        request,
        { deadline },
        (error, answer) => {
          if (answer !== undefined) resolve(answer);
          else reject(new Error(`${method}: ${error?.message}`));
        },
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}
