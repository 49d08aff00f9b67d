/** One HTTP exchange with the API server, below any knowledge of Kubernetes. */
export interface HttpRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query. */
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  readonly signal?: AbortSignal;
}

export interface HttpResponse {
  readonly status: number;
  readonly body: string;
}

export interface HttpStream {
  readonly status: number;
  /** Whole lines as they arrive. Ends when the server ends; throws when the connection breaks, or nothing came for `idleMs`. */
  readonly lines: AsyncIterable<string>;
}

export interface Transport {
  request(request: HttpRequest): Promise<HttpResponse>;
  stream(request: HttpRequest & { readonly idleMs: number; readonly signal: AbortSignal }): Promise<HttpStream>;
  close(): void;
}
